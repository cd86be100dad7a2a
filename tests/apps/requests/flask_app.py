"""Flask."""

import work
from flask import Flask

app = Flask(__name__)


@app.get("/<kind>/<int:rid>")
def endpoint(kind, rid):
    work.BLOCKING[kind](kind, rid)
    return "ok"

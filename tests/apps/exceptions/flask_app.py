"""Flask."""

from failing import BY_NAME, handled
from flask import Flask

app = Flask(__name__)


@app.get("/fail/<way>")
def fail(way):
    return str(BY_NAME[way]())


@app.get("/healthy")
def healthy():
    return handled()

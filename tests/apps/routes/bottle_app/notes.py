"""An application that another mounts."""
from bottle import Bottle

notes = Bottle()


@notes.get("/")
def listing():
    return "all"


@notes.route("/<number:int>/", method="GET")
@notes.route("/<number:int>", method="PATCH")
def note(number):
    return str(number)

"""Bottle's default application, with another mounted and one merged."""
import bottle
from bottle import Bottle, get, post, route

from notes import notes

tools = Bottle()


@route("/")
@route("/index.html")
def index():
    return "hello"


@get("/users/<name>")
def user(name):
    return name


@route("/users/<number:int>", method=["GET", "PUT"])
def numbered(number):
    return str(number)


@post("/users/me")
def me():
    return "me"


@route(["/rate/<value:float>", "/rates/<value:float>"])
def rate(value):
    return str(value)


@route("/files/<path:path>", method="ANY")
def files(path):
    return path


@route("/codes/<code:re:[a-z]{2}>")
def code(code):
    return code


@tools.get("/clock")
def clock():
    return "now"


@tools.delete("/cache/<key>")
def forget(key):
    return key


@route("/old/:name/:number#[0-9]+#.txt")
def old(name, number):
    return name


@bottle.error(404)
def missing(error):
    return "nothing"


app = bottle.default_app()
app.route("/late/<word>", "POST", callback=index)
app.mount("/notes/", notes)
app.merge(tools)

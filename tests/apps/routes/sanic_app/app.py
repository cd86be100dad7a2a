"""Blueprints, groups, versions, class-based views."""
from sanic import Blueprint, Sanic
from sanic.response import text
from sanic.views import HTTPMethodView

app = Sanic("fixture")
users = Blueprint("users", url_prefix="/users")
orders = Blueprint("orders", url_prefix="/orders", version=2)
api = Blueprint.group(users, orders, url_prefix="/api")


@app.get("/")
async def index(request):
    return text("index")


@app.route("/both", methods=["GET", "POST"])
async def both(request):
    return text("both")


@app.get("/versioned", version=1)
async def versioned(request):
    return text("versioned")


@app.websocket("/feed")
async def feed(request, ws):
    await ws.send("x")


@users.get("/<user_id:int>")
async def user(request, user_id):
    return text(str(user_id))


@users.post("/<name:alpha>/rename")
async def rename(request, name):
    return text(name)


@orders.get("/<key:uuid>")
async def order(request, key):
    return text(str(key))


@orders.delete("/<day:slug>/<rest:path>")
async def drop(request, day, rest):
    return text(rest)


class Thing(HTTPMethodView):
    async def get(self, request, name):
        return text(name)

    async def put(self, request, name):
        return text(name)


async def added(request):
    return text("added")


app.add_route(Thing.as_view(), "/thing/<name:str>")
app.add_route(added, "/added", methods=["PATCH"])
app.blueprint(api)

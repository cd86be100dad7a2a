"""An application whose routes are registered by extensions: Flask-RESTful, Flask-RESTX, flask-smorest."""
from flask import Blueprint, Flask
from flask_restful import Api as RestfulApi
from flask_restx import Api as RestxApi, Resource
from flask_smorest import Api as SmorestApi

from notes.pages import bare, pages
from notes.resources import Note, NoteList, api as later
from notes.tags import admin, tags

app = Flask(__name__)
app.config["API_TITLE"] = "notes"
app.config["API_VERSION"] = "v1"
app.config["OPENAPI_VERSION"] = "3.0.2"


@app.get("/health")
def health():
    return "ok"


# Flask-RESTful: on the application with a prefix, on a blueprint, and given to the application at the end.
restful = RestfulApi(app, prefix="/v1")
restful.add_resource(NoteList, "/notes", "/notes/")
restful.add_resource(Note, "/notes/<int:note_id>", endpoint="note")

old = Blueprint("old", __name__, url_prefix="/old")
old_api = RestfulApi(old)
old_api.add_resource(NoteList, "/notes", endpoint="old_notes")
app.register_blueprint(old)
later.init_app(app)

# Flask-RESTX: on a blueprint, with namespaces of their own and of other files.
blueprint = Blueprint("restx", __name__, url_prefix="/v2")
restx = RestxApi(blueprint, title="Notes", doc="/docs")
restx.add_namespace(tags)
restx.add_namespace(admin, path="/admin/all")
users = restx.namespace("users", description="People")


@users.route("/<string:name>", "/by-name/<string:name>")
@users.response(404, "unknown")
class User(Resource):
    def get(self, name):
        return {}


@restx.route("/ping")
class Ping(Resource):
    def get(self):
        return {}


app.register_blueprint(blueprint)

# flask-smorest
smorest = SmorestApi(app)
smorest.register_blueprint(pages)
smorest.register_blueprint(bare, url_prefix="/bare")

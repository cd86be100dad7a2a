"""Blueprints of flask-smorest."""
from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import Schema

pages = Blueprint("pages", __name__, url_prefix="/pages", description="Pages")
bare = Blueprint("bare", __name__)


@pages.route("/")
class Pages(MethodView):
    @pages.response(200, Schema(many=True))
    def get(self):
        return []

    @pages.arguments(Schema)
    @pages.response(201, Schema)
    def post(self, page):
        return {}


@pages.route("/<slug>")
class Page(MethodView):
    @pages.response(200, Schema)
    def get(self, slug):
        return {}

    @pages.response(204)
    def delete(self, slug):
        return None


@bare.route("/export", methods=["POST"])
@bare.response(202)
def export():
    return {}

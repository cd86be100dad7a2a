"""Namespaces of Flask-RESTX."""
from flask_restx import Namespace, Resource, fields

tags = Namespace("tags", description="What notes are about")
admin = Namespace("admin", path="/hidden/")
tag = tags.model("Tag", {"name": fields.String})


@tags.route("/")
class Tags(Resource):
    @tags.marshal_list_with(tag)
    def get(self):
        return []

    @tags.expect(tag)
    def post(self):
        return {}


@tags.route("/<int:tag_id>")
@tags.doc(params={"tag_id": "its number"})
class Tag(Resource):
    @tags.marshal_with(tag)
    def get(self, tag_id):
        return {}

    def put(self, tag_id):
        return {}


class Reindex(Resource):
    def post(self):
        return {}


admin.add_resource(Reindex, "/reindex")

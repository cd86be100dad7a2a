"""Resources of Flask-RESTful."""
from flask_restful import Api, Resource, marshal_with

api = Api()


class NoteList(Resource):
    def get(self):
        return []

    def post(self):
        return {}, 201


class Note(Resource):
    @marshal_with({})
    def get(self, note_id):
        return {}

    def delete(self, note_id):
        return "", 204


@api.resource("/search/<path:words>")
class Search(Resource):
    def get(self, words):
        return []

"""Class-based views."""
from flask import Blueprint
from flask.views import MethodView, View

api = Blueprint("api", __name__, url_prefix="/api")
v2 = Blueprint("v2", __name__)


class Entries(MethodView):
    def get(self, entry_id):
        return str(entry_id)

    def post(self):
        return "made"

    def delete(self, entry_id):
        return "gone"


class Report(View):
    methods = ["GET", "PUT"]

    def dispatch_request(self):
        return "report"


view = Entries.as_view("entries")
api.add_url_rule("/entries/", view_func=view, defaults={"entry_id": None}, methods=["GET"])
api.add_url_rule("/entries/", view_func=view, methods=["POST"])
api.add_url_rule("/entries/<int:entry_id>", view_func=view, methods=["GET", "DELETE"])
api.add_url_rule("/report", view_func=Report.as_view("report"))
v2.add_url_rule("/all", view_func=Entries.as_view("all"))

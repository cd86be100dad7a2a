"""A blueprint with its own static folder, and one nested in it."""
from flask import Blueprint

bp = Blueprint("admin", __name__, url_prefix="/admin", static_folder="assets", static_url_path="/assets")
reports = Blueprint("reports", __name__, url_prefix="/reports")


@bp.route("/")
def home():
    return "admin"


@reports.route("")
def all_reports():
    return "reports"


@reports.route("/<int:year>/")
def yearly(year):
    return str(year)


bp.register_blueprint(reports)

"""Plain views: converters, methods, several rules on one function, a decorator in between."""
import functools

from flask import Blueprint

bp = Blueprint("views", __name__)


def login_required(view):
    @functools.wraps(view)
    def wrapped(**kwargs):
        return view(**kwargs)

    return wrapped


@bp.route("/")
@bp.route("/index", strict_slashes=False)
def index():
    return "index"


@bp.route("/posts/<int:post_id>")
def post(post_id):
    return str(post_id)


@bp.route("/posts/<slug>", methods=["GET", "POST"])
@login_required
def post_by_slug(slug):
    return slug


@bp.get("/files/<path:name>")
def file(name):
    return name


@bp.post("/rate/<float:value>/<any(up, down):way>")
def rate(value, way):
    return way


@bp.route("/by/<uuid:key>/<string(length=2):country>")
def by(key, country):
    return country


def about():
    return "about"


def contact():
    return "contact"

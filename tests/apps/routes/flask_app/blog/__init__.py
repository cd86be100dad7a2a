"""The application factory of the blog."""
from flask import Flask


def create_app(config=None):
    app = Flask(__name__)
    app.config.from_mapping(SECRET="none")
    if config:
        app.config.update(config)

    from blog import views
    from blog.admin import bp as admin
    from blog.api import api, v2

    app.register_blueprint(views.bp)
    app.register_blueprint(admin, url_prefix="/manage")
    app.register_blueprint(api)
    app.register_blueprint(v2, url_prefix="/v2", name="second")
    app.add_url_rule("/about", "about", views.about)
    app.add_url_rule("/contact/", view_func=views.contact, methods=["GET", "POST"])

    @app.route("/ping")
    def ping():
        return "pong"

    return app

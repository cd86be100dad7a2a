"""Handler lists, named and unnamed groups, a factory method."""
import tornado.web
from tornado.web import RequestHandler, StaticFileHandler, url
from tornado.websocket import WebSocketHandler


class Index(RequestHandler):
    def get(self):
        self.write("index")


class Item(RequestHandler):
    def get(self, number):
        self.write(number)

    def post(self, number):
        self.write(number)


class Echo(WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


class Server:
    def __init__(self):
        self.app = self.make()

    def make(self):
        application = tornado.web.Application(
            [
                (r"/", Index),
                (r"/items/([0-9]+)", Item),
                url(r"/named/(?P<number>\d+)/?", Item, name="named"),
                (r"/echo", Echo),
            ]
            + [(rf"/static/(.*)", StaticFileHandler, {"path": "."})]
        )
        application.add_handlers(r".*", [(r"/late", Index)])
        return application

"""Handles a secret in every place where an app has one: `secret_places.py PORT TLS_PORT CERTIFICATE KEY HTTP HTTPS HTTP2 POSTGRES REDIS MYSQL`.

GET /do sends them out: SQL literals of every form, bound values, COPY, Redis and MySQL arguments, credentials, headers and bodies
of calls, plain, through TLS and over HTTP/2. GET /fail/N raises one in a message and in variables, GET /refused/NAME lets a database
refuse a statement with one. Anything else answers. The same over TLS at TLS_PORT. Every secret is of one form, with the name of its place
in it; one that a database repeats is of several words, none of which looks like a key.
"""

import io
import sqlite3
import ssl
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psycopg
import psycopg2
import pymysql
import redis
import sqlalchemy

PORT, TLS_PORT, CERTIFICATE, KEY, HTTP, HTTPS, HTTP2, POSTGRES, REDIS, MYSQL = sys.argv[1:]


def secret(place):
    return f"hunter2{place}Zq9xK4"


def words(place):
    return f"hunter2 {place} Zq9xK4"


def wrong(cursor, statement, *values):
    """A statement that the server refuses, with the secret in its message."""
    try:
        cursor.execute(statement, *values)
    except Exception:
        return
    raise AssertionError(statement)


def postgres():
    made = psycopg2.connect(host="127.0.0.1", port=int(POSTGRES), user="apm", password=secret("pgpassword"), dbname="shop")
    made.autocommit = True
    with made.cursor() as cursor:
        for place, form in enumerate(
            [
                "SELECT '{}'",
                "SELECT E'a\\'{}'",
                "SELECT U&'{}'",
                "SELECT N'{}'",
                "SELECT $${}$$",
                "SELECT $tag${}$tag$",
                "SELECT 'it''s {}'",
                "SELECT 1 /* {} */",
                "SELECT 2 /* a /* {} */ b */",
                "SELECT 3 -- {}\n",
                "SELECT 'a'\n'{}'",
                "INSERT INTO items (note) VALUES ('x'), ('{}')",
                "SELECT * FROM items WHERE note IN ('{}', 'y') AND note LIKE '%{}%'",
                "SELECT 4; SELECT '{}'",
                "PREPARE p AS SELECT $1::text; EXECUTE p('{}')",
                "DO $body$ BEGIN PERFORM '{}'; END $body$",
                "SET application_name = '{}'",
            ]
        ):
            cursor.execute(form.replace("{}", secret(f"pg{place}x")))
        cursor.execute("SET standard_conforming_strings = off")
        cursor.execute(f"SELECT 'it\\'s {secret('pgescaped')}', 'x'")
        cursor.execute("SET standard_conforming_strings = on")
        wrong(cursor, f"SELECT '{secret('pgwrong')}'::int")
        wrong(cursor, f"SELECT '{secret('pgopen')}")
        cursor.copy_expert("COPY items (note) FROM STDIN", io.StringIO(secret("copy") + "\n"))
    made.close()
    with psycopg.connect(f"postgresql://apm:{secret('dsn')}@127.0.0.1:{POSTGRES}/shop", autocommit=True) as made:
        for _ in range(7):  # from the sixth on prepared
            made.execute("SELECT note FROM items WHERE note = %s", (secret("bound"),))
        wrong(made, "SELECT %s::text::int", (secret("boundwrong"),))


def mysql():
    with pymysql.connect(host="127.0.0.1", port=int(MYSQL), user="apm", password="secret", database="shop", ssl_disabled=True) as made:
        with made.cursor() as cursor:
            for place, form in enumerate(
                [
                    "SELECT '{}'",
                    'SELECT "{}"',
                    "SELECT 'a\\'{}'",
                    "SELECT 1 # {}\n",
                    "SELECT 2 /*! + 1 */ /* {} */",
                    "SELECT _utf8'{}'",
                    "INSERT INTO items (note) VALUES ('{}')",
                ]
            ):
                cursor.execute(form.replace("{}", secret(f"my{place}x")))
            cursor.execute("SELECT %s", (secret("mybound"),))
            cursor.execute("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
            cursor.execute(f"SELECT 'C:\\', '{secret('myplain')}', 'x'")
            wrong(cursor, f"SELECT '{secret('mywrong')}' FROM nowhere")


def commands():
    with redis.Redis(port=int(REDIS)) as made:
        made.set(secret("rediskey"), secret("redisvalue"))
        made.hset("h", mapping={secret("field"): secret("hashvalue")})
        wrong_login = made.execute_command
        try:
            wrong_login("AUTH", "ada", secret("redisauth"))
        except redis.RedisError:
            pass
        made.eval(f"return '{secret('script')}'", 0)


def calls():
    for place, base, http2 in (
        ("plain", f"http://127.0.0.1:{HTTP}", False),
        ("tls", f"https://127.0.0.1:{HTTPS}", False),
        ("h2", f"https://127.0.0.1:{HTTP2}", True),
    ):
        headers = {
            "authorization": f"Bearer {secret(place + 'bearer')}",
            "x-api-key": secret(place + "key"),
            "cookie": f"session={secret(place + 'cookie')}",
            "referer": f"http://y/?t={secret(place + 'referer')}",
        }
        with httpx.Client(http2=http2, verify=False, base_url=base) as client:  # noqa: S501 - a certificate of the test's own
            client.get(f"/ok/1?token={secret(place + 'query')}", headers=headers)
            client.post("/upload/2", json={"card": secret(place + "json")}, headers=headers)
            client.post("/upload/3", data={"pin": secret(place + "form")}, auth=("ada", secret(place + "basic")))
            client.get(base.replace("://", f"://ada:{secret(place + 'userinfo')}@") + f"/ok/4#{secret(place + 'fragment')}")


def fail(way):
    password = secret("local")
    payload = {"token": secret("dict")}
    key = "k" + secret("keylocal")
    if way == "0":
        raise ValueError(f"login with password={secret('message')} failed")
    if way == "1":
        raise RuntimeError("refused", f"Authorization: Bearer {secret('argument')}")
    if way == "2":
        try:
            raise KeyError(f"api_key: {secret('cause')}")
        except KeyError as error:
            raise ConnectionError(f"no connection to postgres://ada:{secret('url')}@db/shop") from error
    with psycopg2.connect(host="127.0.0.1", port=int(POSTGRES), user="apm", dbname="shop") as made:
        made.cursor().execute("SELECT %s::int", (secret("sqlerror"),))
    return password, payload, key


def refused(way):
    ways = {
        "value": ("SELECT 1 WHERE 1 = %s", words("value")),
        "excerpt": ("SELECT %s,\n note FROM items WHERE nothing = %s AND note = %s", "x", words("excerpt"), words("excerpt")),
        "open": (f"SELECT '{words('open')}",),
        "token": (f"SELECT note, note '{words('token')}' FROM items",),
        "quotes": ("SELECT %s::int", f'a"\nb: "{words("quotes")}'),
        "array": ("SELECT %s::int[]", '{"' + words("array")),
        "json": ("SELECT %s::json", '{"pin": "a", ' + words("json") + "}"),
        "range": ("SELECT %s::tsquery", words("range")),
        "xml": ("SELECT xmlparse(document %s)", words("xml")),
        "inner": ("DO $$ BEGIN EXECUTE 'SELECT 1 WHERE nothing = ''" + words("inner") + "'''; END $$",),
        "context": ("DO $$ BEGIN EXECUTE 'SELECT 1/0 WHERE '''' <> ''" + words("context") + "'''; END $$",),
    }
    if way in ("mysql", "number"):
        with pymysql.connect(host="127.0.0.1", port=int(MYSQL), user="apm", password="secret", database="shop", ssl_disabled=True) as made:
            cursor = made.cursor()
            if way == "mysql":
                cursor.execute("SELECT note FRM items WHERE note = %s AND note = %s", (words("mysql"), words("mysql")))
            cursor.execute("SET sql_mode = 'STRICT_ALL_TABLES'")
            cursor.execute("INSERT INTO items (note) SELECT CAST(%s AS SIGNED)", (words("number"),))
    if way == "sqlite":
        sqlite3.connect(":memory:").execute(f"SELECT note FROM 'items' 'items' '{words('sqlite')}'")
    if way == "inlined":
        with sqlalchemy.create_engine(f"postgresql+psycopg2://apm@127.0.0.1:{POSTGRES}/shop").connect() as made:
            made.execute(sqlalchemy.text(f"SELECT '{words('inlined')}' WHERE 1/0 = 1"))
    with psycopg2.connect(host="127.0.0.1", port=int(POSTGRES), user="apm", dbname="shop") as made:
        if way == "copy":
            made.cursor().copy_expert("COPY items (note) FROM STDIN CSV", io.StringIO(f"1,{words('copy')}\n"))
        made.cursor().execute(ways[way][0], ways[way][1:] or None)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        path = self.path.partition("?")[0]
        try:
            if path == "/do":
                for work in (postgres, mysql, commands, calls):
                    work()
            elif path.startswith("/fail/"):
                fail(path.rsplit("/", 1)[1])
            elif path.startswith("/refused/"):
                refused(path.rsplit("/", 1)[1])
        except Exception:
            status = 500
            traceback.print_exc()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Set-Cookie", f"session={secret('setcookie')}")
        self.send_header("Content-Length", str(len(secret("answer"))))
        self.end_headers()
        self.wfile.write(secret("answer").encode())

    do_POST = do_GET

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    secure = ThreadingHTTPServer(("127.0.0.1", int(TLS_PORT)), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler).serve_forever()

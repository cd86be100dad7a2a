"""What the clients of the captures of HTTP, Redis and MySQL do: `python clients.py SCENARIO PORT`, see README.md."""

import asyncio
import contextlib
import sys

CALLS = [("GET", "/a?token=secret", None), ("POST", "/b", b"secret" * 50), ("HEAD", "/c", None), ("GET", "/none/d", None),
         ("GET", "/s503/e", None), ("DELETE", "/s404/f", None), ("PUT", "/big/g", b"secret")]  # fmt: skip


def httpx_sync(port):
    import httpx

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for method, path, body in CALLS:
            client.request(method, path, content=body)
        client.post("/chunked", content=(b"secret" * 10 for _ in range(3)))


def requests_session(port):
    import requests

    with requests.Session() as session:
        for method, path, body in CALLS:
            session.request(method, f"http://127.0.0.1:{port}{path}", data=body)


async def aiohttp_session(port):
    import aiohttp

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for method, path, body in CALLS:
            async with session.request(method, path, data=body) as response:
                await response.read()


async def httpx_http2(port):
    import httpx

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", http1=False, http2=True) as client:
        await client.get("/first")
        await asyncio.gather(*(client.request(method, path, content=body) for method, path, body in CALLS))
        await client.get("/last")


def redis_py(port, protocol):
    import redis

    client = redis.Redis(port=port, protocol=protocol)
    client.set("secret", "value")
    client.get("secret")
    with contextlib.suppress(redis.ResponseError):
        client.lpush("secret", "value")
    pipeline = client.pipeline(transaction=False)
    for n in range(5):
        pipeline.set(f"k{n}", "x" * 40)
        pipeline.get(f"k{n}")
    pipeline.execute()
    with client.pipeline() as transaction:
        transaction.incr("n").hset("h", mapping={"a": 1, "b": 2}).hgetall("h")
        transaction.execute()
    client.mget([f"k{n}" for n in range(5)])
    client.close()


def dbapi(connection):
    cursor = connection.cursor()
    cursor.execute("DROP TABLE IF EXISTS item")
    cursor.execute("CREATE TABLE item (id int PRIMARY KEY, name varchar(100))")
    cursor.executemany("INSERT INTO item VALUES (%s, %s)", [(n, "secret %d" % n) for n in range(4)])
    connection.commit()
    cursor.execute("SELECT id, name FROM item WHERE id > %s", (0,))
    cursor.fetchall()
    for sql in ("SELECT colour FROM item", "INSERT INTO item VALUES (1, 'secret')"):
        with contextlib.suppress(Exception):
            cursor.execute(sql)
    cursor.execute("UPDATE item SET name = 'secret' WHERE id < 2")
    connection.rollback()
    connection.close()


def pymysql(port):
    import pymysql

    dbapi(pymysql.connect(host="127.0.0.1", port=port, user="apm", password="secret", database="shop", ssl_disabled=True))


def mysql_prepared(port):
    import mysql.connector

    connection = mysql.connector.connect(
        host="127.0.0.1", port=port, user="apm", password="secret", database="shop", ssl_disabled=True, use_pure=True
    )
    cursor = connection.cursor(prepared=True)
    for n in range(3):
        cursor.execute("SELECT %s + 1", (n,))
        cursor.fetchall()
    cursor.close()
    dbapi(connection)


SCENARIOS = {
    "httpx": httpx_sync,
    "requests": requests_session,
    "aiohttp": aiohttp_session,
    "httpx_h2": httpx_http2,
    "redis_resp2": lambda port: redis_py(port, 2),
    "redis_resp3": lambda port: redis_py(port, 3),
    "pymysql": pymysql,
    "mysql_prepared": mysql_prepared,
}

if __name__ == "__main__":
    done = SCENARIOS[sys.argv[1]](int(sys.argv[2]))
    if done is not None:
        asyncio.run(done)

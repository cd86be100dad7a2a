"""What the clients of the PostgreSQL captures do: `python clients.py SCENARIO PORT`, see ../README.md."""

import asyncio
import contextlib
import io
import sys

USER, PASSWORD, DATABASE = "shop", "correct horse", "shop"
SETUP = "DROP TABLE IF EXISTS item; CREATE TABLE item (id int PRIMARY KEY, name text)"


def where(port, name="dbname"):
    return {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, name: DATABASE}


async def asyncpg_queries(port):
    import asyncpg

    db = await asyncpg.connect(**where(port, "database"), ssl=False)
    await db.execute(SETUP)
    await db.execute("INSERT INTO item VALUES ($1, $2)", 1, "one")
    await db.executemany("INSERT INTO item VALUES ($1, $2)", [(i, f"item {i}") for i in range(2, 6)])
    for _ in range(2):
        await db.fetchrow("SELECT name FROM item WHERE id = $1", 3)
    with contextlib.suppress(asyncpg.UniqueViolationError):
        async with db.transaction():
            async with db.transaction():
                await db.execute("UPDATE item SET name = 'changed' WHERE id IN (1, 2)")
            await db.execute("INSERT INTO item VALUES (1, 'again')")
    async with db.transaction():
        async for _ in db.cursor("SELECT id FROM item ORDER BY id", prefetch=2):
            pass
    with contextlib.suppress(asyncpg.UndefinedColumnError):
        await db.fetch("SELECT colour FROM item")
    await db.close()


async def asyncpg_copy(port):
    import asyncpg

    db = await asyncpg.connect(**where(port, "database"), ssl=False)
    await db.execute(SETUP)
    await db.copy_records_to_table("item", records=[(i, f"item {i}") for i in range(3)])
    await db.copy_from_query("SELECT id FROM item WHERE id < $1", 2, output=io.BytesIO())
    heard = asyncio.Event()
    await db.add_listener("news", lambda *_: heard.set())
    await db.execute("NOTIFY news, 'hello'")
    await heard.wait()
    await db.fetch("SELECT repeat('x', 200), i FROM generate_series(1, 100) AS i")
    await db.close()


def psycopg2_queries(port):
    import psycopg2
    from psycopg2.extras import execute_values

    db = psycopg2.connect(**where(port))
    cursor = db.cursor()
    cursor.execute(SETUP)
    execute_values(cursor, "INSERT INTO item VALUES %s", [(1, "one"), (2, None), (3, "it's")])
    cursor.executemany("UPDATE item SET name = %s WHERE id = %s", [("a", 1), ("b", 2)])
    db.commit()
    cursor.execute("SELECT 1; SELECT name FROM item WHERE id = 1; DELETE FROM item WHERE id > 2")
    with contextlib.suppress(psycopg2.Error):
        cursor.execute("SELECT 'x' AS a; SELECT 1 / 0; SELECT 2")
    db.rollback()
    with contextlib.suppress(psycopg2.Error):
        cursor.execute("SELECT 'x'; SELEC 1")
    db.rollback()
    named = db.cursor("a_cursor_7")
    named.itersize = 2
    named.execute("SELECT id FROM item")
    named.fetchall()
    named.close()
    cursor.copy_expert("COPY item FROM STDIN", io.StringIO("10\tten\n11\televen\n"))
    cursor.copy_expert("COPY item TO STDOUT", io.StringIO())
    cursor.execute("DO $$BEGIN RAISE NOTICE 'secret %', 1; END$$")
    with contextlib.suppress(psycopg2.ProgrammingError):
        cursor.execute("-- nothing")
    db.commit()
    large = db.lobject(mode="wb")
    large.write(b"large object")
    large.unlink()
    db.rollback()
    db.close()


def psycopg_queries(port):
    import psycopg

    db = psycopg.connect(**where(port), sslmode="disable", autocommit=True)
    db.execute(SETUP)
    with db.cursor(binary=True) as cursor:
        cursor.execute("SELECT %s::int, %s::text", (5, "five"))
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO item VALUES (%s, %s)", [(i, f"item {i}") for i in range(4)])
        for number in range(2):
            cursor.execute("SELECT name FROM item WHERE id = %s", (number,), prepare=True)
        cursor.execute("SELECT 1; SELECT 2")
        list(cursor.stream("SELECT id FROM item WHERE id < %s", (3,)))
    with db.transaction(), db.transaction(), db.cursor("a_cursor_1") as cursor:
        cursor.execute("SELECT id FROM item WHERE id > %s", (0,))
        cursor.fetchmany(2)
    with db.cursor() as cursor, cursor.copy("COPY item FROM STDIN") as copy:
        copy.write_row((20, "twenty"))
    with db.cursor() as cursor, cursor.copy("COPY (SELECT id FROM item WHERE id < %s) TO STDOUT", (9,)) as copy:
        list(copy)
    with contextlib.suppress(psycopg.Error), db.cursor() as cursor, cursor.copy("COPY item FROM STDIN") as copy:
        copy.write("not a number\tx\n")
    db.close()


def psycopg_pipeline(port):
    import psycopg

    db = psycopg.connect(**where(port), sslmode="disable", autocommit=True)
    db.execute(SETUP)
    with contextlib.suppress(psycopg.Error), db.pipeline() as pipeline:
        db.execute("INSERT INTO item VALUES (%s, %s)", (1, "one"))
        db.execute("SELECT name FROM item WHERE id = %s", (1,))
        pipeline.sync()
        db.execute("UPDATE item SET name = %s", ("x",))
        db.execute("INSERT INTO item VALUES (%s, %s)", (1, "again"))
        db.execute("DELETE FROM item")
        pipeline.sync()
        db.execute("SELECT count(*) FROM item")
    db.close()


def pg8000_queries(port):
    import pg8000.native

    db = pg8000.native.Connection(USER, host="127.0.0.1", port=port, database=DATABASE, password=PASSWORD)
    db.run("DROP TABLE IF EXISTS item")
    db.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    db.run("START TRANSACTION")
    db.run("INSERT INTO item VALUES (:id, :name)", id=1, name="one")
    db.run("SELECT name FROM item WHERE id = :id", id=1)
    with contextlib.suppress(pg8000.native.DatabaseError):
        db.run("INSERT INTO item VALUES (:id, :name)", id=1, name="again")
    db.run("ROLLBACK")
    prepared = db.prepare("SELECT :a || 'x'")
    prepared.run(a="a")
    prepared.run(a="b")
    prepared.close()
    db.run("COPY item FROM STDIN", stream=io.BytesIO(b"5\tfive\n"))
    db.close()


if __name__ == "__main__":
    scenario, port = globals()[sys.argv[1]], int(sys.argv[2])
    if asyncio.iscoroutinefunction(scenario):
        asyncio.run(scenario(port))
    else:
        scenario(port)

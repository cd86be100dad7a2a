"""PostgreSQL's less common exchanges, each logged: COPY in and out, cursors, several statements in one text, LISTEN and
NOTIFY, a statement that is cancelled.

    shapes.py DRIVER LOG DIRECTORY PORT CERTIFICATE

Phases and ids as in queries.py. What runs in a transaction is logged with its BEGIN and COMMIT.
"""

import asyncio
import io
import sys
import threading

from common import Log, fail, ready_then_wait, tasks, threads
from drivers import Asyncpg, Psycopg2, Psycopg3Async

CLIENTS = 4
CANCELLED = "57014"
BAD_COPY = "22P02"
# Names of cursors are taken for values, of which drivers make ever new ones: ids stand elsewhere.
CURSOR = "rows"
LINES = "".join("%d\n" % n for n in range(2000))


class Note:
    """The log, for one phase and worker: note.name(n) is an id, note(name, ...) logs one execution.

    What has no id (BEGIN, FETCH, ...) is logged by its first word.
    """

    def __init__(self, log, driver, where, when, worker):
        self.log, self.phase = log, where + "/" + when
        self.stem = "q_%s_%s_%s_%d" % (driver.replace("-", "_"), where, when, worker)

    def name(self, what):
        return "%s_%s" % (self.stem, what)

    def __call__(self, name, rows=None, sqlstate=None, continues=False):
        self.log.add(
            phase=self.phase, id=name, rows=rows, sqlstate=sqlstate, ms=0.0, timed=False, wire=None, continues=continues
        )


def same(what, found, expected):
    if found != expected:
        fail("%s: %r instead of %r" % (what, found, expected))


class Psycopg2Shapes(Psycopg2):
    def exchanges(self, connection, note):
        import psycopg2

        cursor = connection.cursor()
        table = note.name("table")
        cursor.execute("CREATE TEMP TABLE %s (n int)" % table)
        note(table)
        cursor.copy_expert("COPY %s (n) FROM STDIN" % table, io.StringIO(LINES))
        note(table, rows=2000)
        try:
            cursor.copy_expert("COPY %s (n) FROM STDIN" % table, io.StringIO("1\nnone\n"))
            fail("a bad line was taken")
        except psycopg2.Error as error:
            same("COPY", error.pgcode, BAD_COPY)
        note(table, sqlstate=BAD_COPY)
        out, name = io.StringIO(), note.name("out")
        cursor.copy_expert("COPY (SELECT n AS %s FROM %s) TO STDOUT" % (name, "generate_series(1, 3000) AS n"), out)
        same("lines", out.getvalue().count("\n"), 3000)
        note(name, rows=3000)

        several = [note.name("several_%d" % n) for n in range(3)]
        cursor.execute(" ; ".join("SELECT %d AS %s" % (n, one) for n, one in enumerate(several)))
        for one in several:
            note(one, rows=1)

        connection.autocommit = False
        name = note.name("cursor")
        named = connection.cursor(name=CURSOR)
        named.itersize = 400
        named.execute("SELECT n AS %s FROM generate_series(1, 1000) AS n" % name)
        rows = 0
        for _ in named:
            rows += 1
        same("rows", rows, 1000)
        named.close()
        connection.commit()
        connection.autocommit = True
        note("BEGIN")
        note(name)
        for rows in (400, 400, 200, 0):
            note("FETCH", rows=rows)
        note("CLOSE")
        note("COMMIT")

        name = note.name("channel")
        cursor.execute("LISTEN %s" % name)
        cursor.execute("NOTIFY %s, 'hello'" % name)
        connection.poll()
        same("notifications", len(connection.notifies), 1)
        cursor.execute("UNLISTEN %s" % name)
        for _ in range(3):
            note(name)

        name = note.name("cancelled")
        timer = threading.Timer(0.2, connection.cancel)
        timer.start()
        try:
            cursor.execute("SELECT pg_sleep(30) AS %s" % name)
            fail("nothing was cancelled")
        except psycopg2.Error as error:
            same("SQLSTATE", error.pgcode, CANCELLED)
        timer.join()
        note(name, sqlstate=CANCELLED)


class Psycopg3Shapes(Psycopg3Async):
    async def exchanges(self, connection, note):
        import psycopg

        cursor = connection.cursor()
        table = note.name("table")
        await cursor.execute("CREATE TEMP TABLE %s (n int)" % table)
        note(table)
        async with cursor.copy("COPY %s (n) FROM STDIN (FORMAT BINARY)" % table) as copy:
            copy.set_types(["int4"])
            for n in range(2000):
                await copy.write_row((n,))
        note(table, rows=2000)
        try:
            async with cursor.copy("COPY %s (n) FROM STDIN" % table) as copy:
                await copy.write("1\nnone\n")
            fail("a bad line was taken")
        except psycopg.Error as error:
            same("COPY", error.sqlstate, BAD_COPY)
        note(table, sqlstate=BAD_COPY)
        rows, name = 0, note.name("out")
        async with cursor.copy("COPY (SELECT n AS %s FROM generate_series(1, 3000) AS n) TO STDOUT" % name) as copy:
            async for _ in copy.rows():
                rows += 1
        same("lines", rows, 3000)
        note(name, rows=3000)

        several = [note.name("several_%d" % n) for n in range(3)]
        await cursor.execute(" ; ".join("SELECT %d AS %s" % (n, one) for n, one in enumerate(several)))
        for one in several:
            note(one, rows=1)

        name = note.name("stream")
        rows = 0
        async for _ in cursor.stream("SELECT n AS %s FROM generate_series(1, 500) AS n" % name):
            rows += 1
        same("rows", rows, 500)
        note(name, rows=500)

        name = note.name("cursor")
        async with connection.transaction():
            async with connection.cursor(name=CURSOR) as named:
                named.itersize = 400
                await named.execute("SELECT n AS %s FROM generate_series(1, 1000) AS n" % name)
                rows = 0
                async for _ in named:
                    rows += 1
                same("rows", rows, 1000)
        note("BEGIN")
        note(name)
        for rows in (400, 400, 200):
            note("FETCH", rows=rows)
        note("CLOSE")
        note("COMMIT")

        name = note.name("channel")
        await cursor.execute("LISTEN %s" % name)
        await cursor.execute("NOTIFY %s, 'hello'" % name)
        await cursor.execute("UNLISTEN %s" % name)
        for _ in range(3):
            note(name)

        name = note.name("cancelled")
        asyncio.get_running_loop().call_later(0.2, connection.cancel)
        try:
            await cursor.execute("SELECT pg_sleep(30) AS %s" % name)
            fail("nothing was cancelled")
        except psycopg.Error as error:
            same("SQLSTATE", error.sqlstate, CANCELLED)
        note(name, sqlstate=CANCELLED)


class AsyncpgShapes(Asyncpg):
    async def exchanges(self, connection, note):
        import asyncpg

        table = note.name("table")
        await connection.execute("CREATE TEMP TABLE %s (n int)" % table)
        note(table)
        await connection.copy_records_to_table(table, records=[(n,) for n in range(2000)], columns=["n"])
        note(table, rows=2000)
        try:
            await connection.copy_to_table(table, source=io.BytesIO(b"1\nnone\n"))
            fail("a bad line was taken")
        except asyncpg.PostgresError as error:
            same("COPY", error.sqlstate, BAD_COPY)
        note(table, sqlstate=BAD_COPY)
        out, name = io.BytesIO(), note.name("out")
        await connection.copy_from_query("SELECT n AS %s FROM generate_series(1, 3000) AS n" % name, output=out)
        same("lines", out.getvalue().count(b"\n"), 3000)
        note(name, rows=3000)

        name = note.name("cursor")
        rows = 0
        async with connection.transaction():
            async for _ in connection.cursor("SELECT n AS %s FROM generate_series(1, 1000) AS n" % name, prefetch=400):
                rows += 1
        same("rows", rows, 1000)
        note("BEGIN")
        # PostgreSQL counts a portal once, however often it goes on.
        for rows in (400, 400, 200):
            note(name, rows=rows, continues=rows != 200)
        note("COMMIT")

        name, heard = note.name("channel"), asyncio.Event()
        listener = lambda *_: heard.set()  # noqa: E731 - taken off again below
        await connection.add_listener(name, listener)
        await connection.execute("NOTIFY %s, 'hello'" % name)
        await asyncio.wait_for(heard.wait(), 30)
        await connection.remove_listener(name, listener)
        for _ in range(3):
            note(name)

        name = note.name("cancelled")
        try:
            await connection.execute("SELECT pg_sleep(30) AS %s" % name, timeout=0.2)
            fail("nothing was cancelled")
        except asyncio.TimeoutError:
            pass
        note(name, sqlstate=CANCELLED)
        # asyncpg leaves before the server's answer; the next statement waits for that.
        name = note.name("last")
        await connection.execute("SELECT 1 AS %s" % name)
        note(name, rows=1)


DRIVERS = {"psycopg2-shapes": Psycopg2Shapes, "psycopg3-shapes": Psycopg3Shapes, "asyncpg-shapes": AsyncpgShapes}


def phases(driver):
    return [(where, when) for when in ("before", "after") for where in driver.wheres]


def run(name, log, driver):
    opened = {where: [driver.connect(where) for _ in range(CLIENTS)] for where in driver.wheres}
    ready_then_wait()
    for where, when in phases(driver):

        def work(worker):
            connection = opened[where][worker] if when == "before" else driver.connect(where)
            driver.exchanges(connection, Note(log, name, where, when, worker))

        threads(work, CLIENTS)


async def run_async(name, log, driver):
    opened = {where: [await driver.connect(where) for _ in range(CLIENTS)] for where in driver.wheres}
    ready_then_wait()
    for where, when in phases(driver):

        async def work(worker):
            connection = opened[where][worker] if when == "before" else await driver.connect(where)
            await driver.exchanges(connection, Note(log, name, where, when, worker))

        await tasks(work, CLIENTS)


def main(name, path, directory, port, certificate):
    log, driver = Log(path), DRIVERS[name](directory, int(port), certificate)
    if driver.asynchronous:
        asyncio.run(run_async(name, log, driver))
    else:
        run(name, log, driver)
    log.write()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

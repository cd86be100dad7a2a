"""Sends many statements at once, as pipelines and by executemany, and logs every one of them.

    batches.py DRIVER LOG DIRECTORY PORT CERTIFICATE

Phases and ids as in queries.py. A batch has some tens of kilobytes and leaves the process in a few large writes.
"""

import asyncio
import sys

from common import Log, fail, ready_then_wait, tasks
from drivers import Asyncpg, Psycopg3Async

ROWS = 300
STATEMENTS = 250
CLIENTS = 3
TEXT = "o'brien" * 20


class Psycopg(Psycopg3Async):
    placeholder = "%s"

    async def many(self, connection, sql, rows):
        async with connection.cursor() as cursor:
            await cursor.executemany(sql, rows)

    async def pipeline(self, connection, statements):
        cursors = []
        async with connection.pipeline():
            for sql in statements:
                cursors.append(await connection.execute(sql))
        return [(await cursor.fetchall())[0][0] for cursor in cursors]


class Asyncpgs(Asyncpg):
    placeholder = "$1"

    async def many(self, connection, sql, rows):
        await connection.executemany(sql, rows)

    async def pipeline(self, connection, statements):
        """asyncpg has none: all statements in one text."""
        await connection.execute("; ".join(statements))
        return [7] * len(statements)


DRIVERS = {"psycopg3-batches": Psycopg, "asyncpg-batches": Asyncpgs}


async def main(name, path, directory, port, certificate):
    log, driver = Log(path), DRIVERS[name](directory, int(port), certificate)
    opened = {where: [await driver.connect(where) for _ in range(CLIENTS)] for where in driver.wheres}
    for connections in opened.values():
        for connection in connections:
            await driver.query(connection, "SELECT 1 AS warm_up")
    ready_then_wait()
    for when in ("before", "after"):
        for where in driver.wheres:
            phase = where + "/" + when
            stem = "%s_%s_%s" % (name.replace("-", "_"), where, when)

            def note(statement):
                log.add(phase=phase, id=statement, rows=1, sqlstate=None, ms=0.0, timed=False, wire=None)

            async def work(client):
                connection = opened[where][client] if when == "before" else await driver.connect(where)
                many = "r_%s_%d" % (stem, client)
                sql = "INSERT INTO items AS %s (note) VALUES (%s::text)" % (many, driver.placeholder)
                await driver.many(connection, sql, [(TEXT,)] * ROWS)
                for _ in range(ROWS):
                    note(many)
                names = ["q_%s_%d_%d" % (stem, client, n) for n in range(STATEMENTS)]
                # The text is long so that a few hundred make a large write.
                statements = ["SELECT 7 AS %s FROM (SELECT 1 AS %s) AS inner_query" % (one, "x" * 60) for one in names]
                if await driver.pipeline(connection, statements) != [7] * STATEMENTS:
                    fail("another answer")
                for one in names:
                    note(one)

            await tasks(work, CLIENTS)
    log.write()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

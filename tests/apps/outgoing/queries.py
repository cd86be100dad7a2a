"""Runs SQL with one driver and logs every statement.

    queries.py DRIVER LOG DIRECTORY PORT CERTIFICATE

Phases as in calls.py, over TCP, a Unix socket and TLS. A statement carries an id that is used once as an identifier, which
survives normalisation: q_DRIVER_WHERE_WHEN_WORKER_N. One statement per phase is the same for all workers (r_...), so that
drivers prepare it; it is logged each time it runs.
"""

import asyncio
import sys
import time

import wire
from common import CALLS, TIMED, WORKERS, Log, clock_ms, ready_then_wait, tasks, threads
from drivers import DRIVERS, Failed
from mysql_drivers import DRIVERS as MYSQL_DRIVERS

class App:
    def __init__(self, name, log, directory, port, certificate):
        self.name, self.log = name.replace("-", "_"), Log(log)
        self.driver = (DRIVERS | MYSQL_DRIVERS)[name](directory, int(port), certificate)

    def phases(self):
        for when in ("before", "after"):
            for where in self.driver.wheres:
                yield where, when

    def plan(self, where, when, worker):
        """What a worker does in a phase: (kind, argument) with the ids filled in."""
        for n in range(CALLS):
            name = "q_%s_%s_%s_%d_%d" % (self.name, where, when, worker, n)
            sql, value, rows, sqlstate = self.driver.statement((worker * 5 + n) % 16)
            yield sql.replace("{id}", name), name, value, rows, sqlstate
        repeated = "r_%s_%s_%s" % (self.name, where, when)
        for n in range(6):
            yield self.driver.repeated % repeated, repeated, "v%d" % n, 1, None

    def in_transaction(self, where, when, worker):
        return ["t_%s_%s_%s_%d_%d" % (self.name, where, when, worker, n) for n in range(3)]

    def note(self, where, when, name, rows, sqlstate, since, timed=None):
        phase = where + "/" + when
        bounds = timed and timed.bounds_ms()
        if rows is not None and rows > self.driver.counted(where):
            rows = None
        self.log.add(
            phase=phase, id=name, rows=rows, sqlstate=sqlstate, ms=clock_ms(since), timed=timed is not None, wire=bounds
        )

    def committed(self, where, when, names):
        for name, rows in [(name, 1) for name in names] + [("BEGIN", None), ("COMMIT", None)]:
            self.log.add(
                phase=where + "/" + when, id=name, rows=rows, sqlstate=None, ms=0.0, timed=False, wire=None
            )

    def check(self, sql, rows, expected):
        if rows != expected:
            raise AssertionError("%s: %s rows instead of %s" % (sql[:80], rows, expected))

    def run(self):
        driver = self.driver
        opened = {}
        for where in driver.wheres:
            opened[where] = [driver.connect(where) for _ in range(WORKERS)]
            for connection in opened[where]:
                driver.query(connection, "SELECT 1 AS warm_up")
        ready_then_wait()
        for where, when in self.phases():
            if when == "before":
                connections = opened[where]
            else:
                connections = [None] * WORKERS

            def work(worker):
                if connections[worker] is None:
                    connections[worker] = driver.connect(where)
                connection = connections[worker]
                for sql, name, value, rows, sqlstate in self.plan(where, when, worker):
                    since = time.monotonic()
                    try:
                        self.check(sql, driver.query(connection, sql, value), rows)
                    except Failed as failed:
                        self.check(sql, failed.sqlstate, sqlstate)
                    self.note(where, when, name, rows, sqlstate, since)
                names = self.in_transaction(where, when, worker)
                driver.transaction(connection, ["SELECT 7 AS %s" % name for name in names])
                self.committed(where, when, names)

            threads(work, WORKERS)
            for _ in range(TIMED if when == "after" else 0):
                name = "s_%s_%s_%s" % (self.name, where, when)
                since, timed = time.monotonic(), wire.begin()
                driver.query(connections[0], driver.slow % name)
                self.note(where, when, name, 1, None, since, timed)

    async def run_async(self):
        driver = self.driver
        opened = {}
        for where in driver.wheres:
            opened[where] = [await driver.connect(where) for _ in range(WORKERS)]
            for connection in opened[where]:
                await driver.query(connection, "SELECT 1 AS warm_up")
        ready_then_wait()
        for where, when in self.phases():
            if when == "before":
                connections = opened[where]
            else:
                connections = [None] * WORKERS

            async def work(worker):
                if connections[worker] is None:
                    connections[worker] = await driver.connect(where)
                connection = connections[worker]
                for sql, name, value, rows, sqlstate in self.plan(where, when, worker):
                    since = time.monotonic()
                    try:
                        self.check(sql, await driver.query(connection, sql, value), rows)
                    except Failed as failed:
                        self.check(sql, failed.sqlstate, sqlstate)
                    self.note(where, when, name, rows, sqlstate, since)
                names = self.in_transaction(where, when, worker)
                await driver.transaction(connection, ["SELECT 7 AS %s" % name for name in names])
                self.committed(where, when, names)

            await tasks(work, WORKERS)
            for _ in range(TIMED if when == "after" else 0):
                name = "s_%s_%s_%s" % (self.name, where, when)
                since, timed = time.monotonic(), wire.begin()
                await driver.query(connections[0], driver.slow % name)
                self.note(where, when, name, 1, None, since, timed)


def main():
    app = App(*sys.argv[1:])
    if not app.driver.asynchronous:
        app.run()
    elif app.driver.loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(app.run_async())
    else:
        asyncio.run(app.run_async())
    app.log.write()
    print("done", flush=True)


if __name__ == "__main__":
    main()

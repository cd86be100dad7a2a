"""PostgreSQL drivers behind one interface, a connection per worker.

connect(where) with `where` one of "tcp", "unix", "tls"; query(connection, sql, value) runs one statement, with one
parameter where `value` is not None, written `{}` in the text; it returns the number of rows or raises `Failed` with the
SQLSTATE. transaction(connection, statements) runs them between BEGIN and COMMIT.
"""

import os

TEXT = "o'brien" * 3
MEGABYTE = "z" * 1_000_000
HOST = "127.0.0.1"
USER, PASSWORD, DATABASE = "apm", "secret", "shop"


class Failed(Exception):
    """The server said no."""

    def __init__(self, sqlstate):
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Driver:
    asynchronous = False
    loop = "asyncio"
    wheres = ("tcp", "unix", "tls")
    # Runs the transaction statements itself; how many BEGIN and COMMIT come with one transaction.
    pipelines = False

    def __init__(self, directory, port, certificate):
        self.directory, self.port, self.certificate = directory, port, certificate

    # Replies with more rows than these may be captured in part, and then nothing tells how many they were.
    counted_rows = 1_000_000

    def counted(self, where):
        return self.counted_rows

    # A statement that takes 30 ms, and one that all workers send alike.
    slow = "SELECT pg_sleep(0.03) AS %s"
    repeated = "SELECT {}::text || 'x' AS %s"

    def statement(self, step):
        """(SQL, parameter, rows, SQLSTATE) of one of 16 steps; `{id}` in the SQL stands for its id."""
        step = {8: 0, 9: 1, 10: 2, 11: 4, 12: 16, 13: 1, 14: 2, 15: 7}.get(step, step)  # the large ones are rarer
        if step == 0:
            return "SELECT 42 AS {id}", None, 1, None
        if step == 1:
            return "SELECT {}::text AS {id}", TEXT, 1, None
        if step == 2:
            return "INSERT INTO items AS {id} (note) VALUES ({}::text)", TEXT, 1, None
        if step == 3:
            return "SELECT g AS {id} FROM generate_series(1, 5000) AS g", None, 5000, None
        if step == 4:
            return "SELECT 1/0 AS {id}", None, None, "22012"
        if step == 5:
            return "SELECT 1 AS {id}, length({}::text)", MEGABYTE, 1, None
        if step == 6:
            return "SELECT repeat('x', 1000000) AS {id}", None, 1, None
        if step == 16:
            sql = "SELECT repeat('x', 100), 1 / (g - 3000) AS {id} FROM generate_series(1, 5000) AS g"
            return sql, None, None, "22012"
        return "UPDATE items AS {id} SET note = {}::text WHERE id = -1", TEXT, 0, None

    def libpq(self, where):
        host = self.directory if where == "unix" else HOST
        mode = "require" if where == "tls" else "disable"
        return dict(host=host, port=self.port, user=USER, password=PASSWORD, dbname=DATABASE, sslmode=mode)


class Psycopg2(Driver):
    """psycopg2 from source or from its wheel, by what PYTHONPATH says."""

    def connect(self, where):
        import psycopg2

        connection = psycopg2.connect(**self.libpq(where))
        connection.autocommit = True
        return connection

    def query(self, connection, sql, value=None):
        import psycopg2

        with connection.cursor() as cursor:
            try:
                cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,))
            except psycopg2.Error as error:
                raise Failed(error.pgcode) from None
            return len(cursor.fetchall()) if cursor.description else cursor.rowcount

    def transaction(self, connection, statements):
        connection.autocommit = False
        for sql in statements:
            self.query(connection, sql)
        connection.commit()
        connection.autocommit = True


class Psycopg3(Driver):
    """psycopg 3 in its pure form or from the wheel, by PSYCOPG_IMPL."""

    binary = False

    def connect(self, where):
        import psycopg

        wanted = os.environ["PSYCOPG_IMPL"]
        assert psycopg.pq.__impl__ == wanted, psycopg.pq.__impl__
        return psycopg.connect(**self.libpq(where), autocommit=True)

    def query(self, connection, sql, value=None):
        import psycopg

        with connection.cursor(binary=self.binary) as cursor:
            try:
                cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,), binary=self.binary)
            except psycopg.Error as error:
                raise Failed(error.sqlstate) from None
            return len(cursor.fetchall()) if cursor.description else cursor.rowcount

    def transaction(self, connection, statements):
        with connection.transaction():
            for sql in statements:
                self.query(connection, sql)


class Psycopg3Direct(Psycopg3):
    """TLS from the first byte on, without asking for it (libpq 17 and later)."""

    wheres = ("tls",)

    def libpq(self, where):
        return dict(super().libpq(where), sslnegotiation="direct")


class Psycopg3Binary(Psycopg3):
    binary = True


class Psycopg3Pipeline(Psycopg3):
    """A transaction goes out as one pipeline; so do the plain statements, one each."""

    pipelines = True

    def query(self, connection, sql, value=None):
        import psycopg

        try:
            with connection.pipeline(), connection.cursor() as cursor:
                cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,))
                if sql.startswith("SELECT"):
                    return len(cursor.fetchall())
        except psycopg.Error as error:
            raise Failed(error.sqlstate) from None
        return cursor.rowcount

    def transaction(self, connection, statements):
        with connection.pipeline(), connection.transaction():
            for sql in statements:
                connection.execute(sql)


class Psycopg3Async(Psycopg3):
    asynchronous = True

    async def connect(self, where):
        import psycopg

        return await psycopg.AsyncConnection.connect(**self.libpq(where), autocommit=True)

    async def query(self, connection, sql, value=None):
        import psycopg

        async with connection.cursor() as cursor:
            try:
                await cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,))
            except psycopg.Error as error:
                raise Failed(error.sqlstate) from None
            return len(await cursor.fetchall()) if cursor.description else cursor.rowcount

    async def transaction(self, connection, statements):
        async with connection.transaction():
            for sql in statements:
                await self.query(connection, sql)


class Asyncpg(Driver):
    asynchronous = True

    async def connect(self, where):
        import asyncpg

        host = self.directory if where == "unix" else HOST
        return await asyncpg.connect(
            host=host, port=self.port, user=USER, password=PASSWORD, database=DATABASE,
            ssl="require" if where == "tls" else False, timeout=60,
        )  # fmt: skip

    async def query(self, connection, sql, value=None):
        import asyncpg

        try:
            statement = sql.replace("{}", "$1")
            if sql.startswith(("INSERT", "UPDATE")):
                tag = await connection.execute(statement, *([] if value is None else [value]))
                return int(tag.split()[-1])
            return len(await connection.fetch(statement, *([] if value is None else [value])))
        except asyncpg.PostgresError as error:
            raise Failed(error.sqlstate) from None

    async def transaction(self, connection, statements):
        async with connection.transaction():
            for sql in statements:
                await connection.execute(sql)


class AsyncpgUvloop(Asyncpg):
    loop = "uvloop"


class Pg8000(Driver):
    def connect(self, where):
        import pg8000.dbapi

        at = {"unix_sock": "%s/.s.PGSQL.%s" % (self.directory, self.port)} if where == "unix" else {"host": HOST}
        context = False  # None would try TLS first
        if where == "tls":
            import ssl

            context = ssl.create_default_context(cafile=self.certificate)
        connection = pg8000.dbapi.connect(
            user=USER, password=PASSWORD, database=DATABASE, port=self.port, ssl_context=context, **at
        )
        connection.autocommit = True
        return connection

    def query(self, connection, sql, value=None):
        import pg8000.dbapi

        cursor = connection.cursor()
        try:
            cursor.execute(sql.replace("{}", "%s"), () if value is None else (value,))
        except pg8000.dbapi.DatabaseError as error:
            raise Failed(error.args[0]["C"]) from None
        return len(cursor.fetchall()) if cursor.description else cursor.rowcount

    def transaction(self, connection, statements):
        connection.autocommit = False
        for sql in statements:
            self.query(connection, sql)
        connection.commit()
        connection.autocommit = True


class SqlAlchemy(Driver):
    dialect = "psycopg2"

    def connect(self, where):
        import sqlalchemy

        driver = Psycopg2(self.directory, self.port, self.certificate)
        engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=lambda: driver.connect(where), pool_size=1)
        connection = engine.connect()
        return connection.execution_options(isolation_level="AUTOCOMMIT")

    def query(self, connection, sql, value=None):
        import sqlalchemy

        text = sqlalchemy.text(sql.replace("::", "\\:\\:").replace("{}", ":value"))
        try:
            result = connection.execute(text, {} if value is None else {"value": value})
        except sqlalchemy.exc.DBAPIError as error:
            raise Failed(error.orig.pgcode) from None
        return len(result.all()) if result.returns_rows else result.rowcount

    def transaction(self, connection, statements):
        for sql in ("BEGIN", *statements, "COMMIT"):
            connection.exec_driver_sql(sql)


class SqlAlchemyAsync(Driver):
    """SQLAlchemy on asyncpg, whose own cache of prepared statements is at work."""

    asynchronous = True

    async def connect(self, where):
        from sqlalchemy.ext.asyncio import create_async_engine

        driver = Asyncpg(self.directory, self.port, self.certificate)
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: driver.connect(where), pool_size=1)
        connection = await engine.connect()
        return await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def query(self, connection, sql, value=None):
        import sqlalchemy

        text = sqlalchemy.text(sql.replace("::", "\\:\\:").replace("{}", ":value"))
        try:
            result = await connection.execute(text, {} if value is None else {"value": value})
        except sqlalchemy.exc.DBAPIError as error:
            raise Failed(error.orig.sqlstate) from None
        return len(result.all()) if result.returns_rows else result.rowcount

    async def transaction(self, connection, statements):
        for sql in ("BEGIN", *statements, "COMMIT"):
            await connection.exec_driver_sql(sql)


class Django(Driver):
    """Django's own connections, by alias and thread."""

    def connect(self, where):
        import django
        from django.conf import settings

        if not settings.configured:
            each = {}
            for place in self.wheres:
                facts = self.libpq(place)
                each[place] = dict(
                    ENGINE="django.db.backends.postgresql", NAME=DATABASE, USER=USER, PASSWORD=PASSWORD,
                    HOST=facts["host"], PORT=str(self.port), OPTIONS={"sslmode": facts["sslmode"]},
                )  # fmt: skip
            each["default"] = each["tcp"]
            settings.configure(DATABASES=each, INSTALLED_APPS=[])
            django.setup()
        from django.db import connections

        connection = connections.create_connection(where)
        connection.inc_thread_sharing()
        connection.connect()
        return connection

    def query(self, connection, sql, value=None):
        from django.db import DatabaseError

        with connection.cursor() as cursor:
            try:
                cursor.execute(sql.replace("{}", "%s"), None if value is None else [value])
            except DatabaseError as error:
                raise Failed(getattr(error.__cause__, "pgcode", None) or error.__cause__.sqlstate) from None
            return len(cursor.fetchall()) if cursor.description else cursor.rowcount

    def transaction(self, connection, statements):
        connection.set_autocommit(False)
        for sql in statements:
            self.query(connection, sql)
        connection.commit()
        connection.set_autocommit(True)


DRIVERS = {
    "psycopg2": Psycopg2,
    "psycopg2-binary": Psycopg2,
    "psycopg3": Psycopg3,
    "psycopg3-wheel": Psycopg3,
    "psycopg3-direct-wheel": Psycopg3Direct,
    "psycopg3-binary": Psycopg3Binary,
    "psycopg3-pipeline": Psycopg3Pipeline,
    "psycopg3-async": Psycopg3Async,
    "asyncpg": Asyncpg,
    "asyncpg-uvloop": AsyncpgUvloop,
    "pg8000": Pg8000,
    "sqlalchemy": SqlAlchemy,
    "sqlalchemy-asyncpg": SqlAlchemyAsync,
    "django": Django,
}

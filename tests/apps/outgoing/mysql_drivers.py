"""MySQL drivers behind the interface of drivers.py."""

from importlib import import_module

from drivers import DATABASE, HOST, PASSWORD, USER, Driver, Failed

TEXT = "o'brien" * 3
UNKNOWN_COLUMN = "42S22"
# These drivers keep the server's number, and drop the SQLSTATE that came with it.
SQLSTATES = {1054: UNKNOWN_COLUMN, 1242: "21000"}


class MysqlDriver(Driver):
    slow = "SELECT SLEEP(0.03) AS %s"
    repeated = "SELECT CONCAT({}, 'x') AS %s"
    # The server sends no count of the rows: of a reply that is captured in part, it is not known.
    counted_rows = 50

    def __init__(self, directory, port, certificate):
        super().__init__(directory, port, certificate)
        self.socket = directory + "/mysql.sock"

    def place(self, where):
        at = {"unix_socket": self.socket} if where == "unix" else {"host": HOST, "port": self.port}
        return dict(user=USER, password=PASSWORD, database=DATABASE, autocommit=True, **at)

    def statement(self, step):
        n, step = step, {8: 0, 9: 1, 10: 2, 11: 3, 12: 16, 13: 4, 14: 2, 15: 7}.get(step, step)
        if step == 0:
            return "SELECT 42 AS {id}", None, 1, None
        if step == 1:
            return "SELECT {} AS {id}", TEXT, 1, None
        if step == 2:
            return "INSERT INTO items (note) SELECT {} AS {id}", TEXT, 1, None
        if step == 3:
            rows = 50 if n == 3 else 5000
            return "SELECT seq AS {id} FROM seq_1_to_%d" % rows, None, rows, None
        if step == 4:
            return "SELECT missing AS {id}", None, None, UNKNOWN_COLUMN
        if step == 5:
            return "SELECT 1 AS {id}, LENGTH({})", "z" * 10_000, 1, None
        if step == 6:
            return "SELECT REPEAT('x', 1000000) AS {id}", None, 1, None
        if step == 16:
            late = "IF(seq = 3000, (SELECT 1 UNION SELECT 2), 1)"
            return "SELECT REPEAT('x', 100), %s AS {id} FROM seq_1_to_5000" % late, None, None, SQLSTATES[1242]
        return "UPDATE items AS {id} SET note = {} WHERE id = -1", TEXT, 0, None

    def transaction(self, connection, statements):
        connection.begin()
        for sql in statements:
            self.query(connection, sql)
        connection.commit()


class PyMysql(MysqlDriver):
    """Writes parameters into the text."""

    module = "pymysql"

    def connect(self, where):
        import pymysql

        tls = {"ssl": {"ca": self.certificate}} if where == "tls" else {"ssl_disabled": True}
        return pymysql.connect(**self.place(where), **tls)

    def query(self, connection, sql, value=None):
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,))
            except import_module(self.module).Error as error:
                raise Failed(SQLSTATES[error.args[0]]) from None
            return len(cursor.fetchall()) if cursor.description else cursor.rowcount


class AioMysql(MysqlDriver):
    asynchronous = True
    wheres = ("tcp", "unix")  # its TLS needs a transport that asyncio has taken away

    async def connect(self, where):
        import aiomysql

        place = self.place(where)
        return await aiomysql.connect(db=place.pop("database"), **place)

    async def query(self, connection, sql, value=None):
        import pymysql

        async with connection.cursor() as cursor:
            try:
                await cursor.execute(sql.replace("{}", "%s"), None if value is None else (value,))
            except pymysql.Error as error:
                raise Failed(SQLSTATES[error.args[0]]) from None
            return len(await cursor.fetchall()) if cursor.description else cursor.rowcount

    async def transaction(self, connection, statements):
        await connection.begin()
        for sql in statements:
            await self.query(connection, sql)
        await connection.commit()


class Connector(MysqlDriver):
    """Prepares every statement with a parameter; reads its replies packet by packet, so that they are captured whole."""

    counted_rows = 1_000_000
    is_pure = True

    def connect(self, where):
        import mysql.connector

        tls = {"ssl_ca": self.certificate} if where == "tls" else {"ssl_disabled": True}
        connection = mysql.connector.connect(**self.place(where), use_pure=self.is_pure, **tls)
        assert isinstance(connection, mysql.connector.MySQLConnection) == self.is_pure
        return connection

    def query(self, connection, sql, value=None):
        import mysql.connector

        with connection.cursor(prepared=value is not None) as cursor:
            try:
                cursor.execute(sql.replace("{}", "%s"), () if value is None else (value,))
                # Rows are read as they are fetched: so is what went wrong behind them.
                return len(cursor.fetchall()) if cursor.description else cursor.rowcount
            except mysql.connector.Error as error:
                raise Failed(error.sqlstate) from None

    def transaction(self, connection, statements):
        connection.start_transaction()
        for sql in statements:
            self.query(connection, sql)
        connection.commit()


class ConnectorC(Connector):
    """Oracle's libmysqlclient, which announces to MariaDB what that does not know."""

    is_pure = False

    def counted(self, where):
        # Inside TLS it reads packet by packet, else through a buffer.
        return self.counted_rows if where == "tls" else MysqlDriver.counted_rows


class MysqlClient(PyMysql):
    """Debian's libmariadb."""

    module = "MySQLdb"

    def connect(self, where):
        import MySQLdb

        tls = {"ssl": {"ca": self.certificate}} if where == "tls" else {}
        return MySQLdb.connect(**self.place(where), **tls)


class MariaDb(MysqlDriver):
    """libmariadb again: prepares and runs in one go, and what changes rows in bulk."""

    def connect(self, where):
        import mariadb

        tls = {"ssl": True, "ssl_ca": self.certificate} if where == "tls" else {}
        return mariadb.connect(**self.place(where), **tls)

    def statement(self, step):
        sql, value, rows, sqlstate = super().statement(step)
        if sqlstate == UNKNOWN_COLUMN:
            return "SELECT missing = {} AS {id}", TEXT, rows, sqlstate
        if sql.startswith("INSERT"):
            # The server refuses INSERT .. SELECT in bulk.
            return "INSERT INTO items (note) VALUES (CONCAT({}, COALESCE(@{id}, '')))", value, 2, None
        return sql, value, rows, sqlstate

    def query(self, connection, sql, value=None):
        import mariadb

        with connection.cursor(binary=value is not None) as cursor:
            text = sql.replace("{}", "?")
            try:
                if sql.startswith(("INSERT", "UPDATE")):
                    cursor.executemany(text, [(value,), (value,)])
                else:
                    cursor.execute(text, () if value is None else (value,))
            except mariadb.Error as error:
                raise Failed(error.sqlstate) from None
            return len(cursor.fetchall()) if cursor.description else cursor.rowcount


DRIVERS = {
    "pymysql": PyMysql,
    "aiomysql": AioMysql,
    "mysql-connector": Connector,
    "mysql-connector-c": ConnectorC,
    "mysqlclient": MysqlClient,
    "mariadb": MariaDb,
}

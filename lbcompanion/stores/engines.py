"""What differs between databases: how a connection is made and bounded in time, and what their errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from lbcompanion.errors import StoreError

#: How long a server may take to accept a connection.
CONNECT_SECONDS = 3
#: How long it may take for one statement, a lock that it waits for included.
STATEMENT_SECONDS = 5

#: WAL with synchronous=NORMAL: a commit outlives the process, if not always the power; copies live for minutes.
#: secure_delete=FAST wipes what is deleted wherever that costs no further write.
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=FAST", "journal_size_limit=67108864")

#: Libpq's parameters (PostgreSQL manual, section 34.1.2). A peer that went away without a word is noticed by TCP; a
#: node that went away in the middle of a transaction holds its locks no longer than that either.
_POSTGRESQL: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    "keepalives_idle": STATEMENT_SECONDS,
    "keepalives_interval": STATEMENT_SECONDS,
    "keepalives_count": 2,
    "application_name": "lbcompanion",
    # Rows are small, as bodies are stored beside them; so the planner likes to read them all, though each has an index.
    # Where there is none (one row, a sum), it would then think the statement dear enough to be compiled, for 100 ms.
    "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c idle_in_transaction_session_timeout=10s"
    " -c enable_seqscan=off -c jit=off",
}
#: A strict mode, as a server that is not told so may cut what is too long and go on.
_MYSQL: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "read_timeout": STATEMENT_SECONDS * 2,
    "write_timeout": STATEMENT_SECONDS * 2,
    "charset": "utf8mb4",
    "init_command": f"SET SESSION sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={STATEMENT_SECONDS}",
}

#: Another node did the same at the same moment: deadlock, serialization failure, lock wait (PostgreSQL manual,
#: appendix A; MariaDB's error codes).
_RETRYABLE_STATES = frozenset({"40001", "40P01", "55P03"})
_RETRYABLE_CODES = frozenset({1205, 1213})
#: A table that was not there a moment ago.
_EXISTS_STATES = frozenset({"42P07", "42710"})
_EXISTS_CODES = frozenset({1050})
#: MySQL's and MariaDB's errors whose text holds nothing of a page: connections, rights, limits, locks, disks.
_SAFE_CODES = frozenset(
    {1021, 1040, 1041, 1044, 1045, 1049, 1114, 1142, 1146, 1153, 1203, 1205, 1213, 1226, 1290, 1836}
)
_MAX_MESSAGE_CHARS = 200


@frozen
class Database:
    """One database, and how it is spoken to.

    :ivar shared: whether several nodes may use it at once.
    """

    engine: Engine
    shared: bool
    file: Path | None = None


def sqlite(url: URL, busy_seconds: float) -> Database:
    """A file of SQLite's.

    :param busy_seconds: how long another process may hold it before a request fails.
    """
    arguments = {"check_same_thread": False, "timeout": busy_seconds}
    engine = _engine(url, arguments)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return Database(engine, False, Path(url.database or ""))


def postgresql(text: str, timeout_seconds: float = STATEMENT_SECONDS * 2) -> Database:
    """A PostgreSQL server, through psycopg.

    :param timeout_seconds: how long one answer of the server may take. A server whose process is stopped (SIGSTOP)
        keeps its connections open, and the driver would wait for it without limit.
    """
    connect_with_timeout = _timeout_connection(timeout_seconds).connect
    url = make_url(text).set(drivername="postgresql+psycopg")
    database = _server(url, _POSTGRESQL)

    def connect(_dialect: Any, _entry: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        return connect_with_timeout(*arguments, **keywords)

    event.listen(database.engine, "do_connect", connect)
    return database


def _timeout_connection(timeout_seconds: float) -> Any:
    """A class of psycopg's connections, which raise ``OperationalError`` when an answer takes longer than this."""
    import psycopg  # noqa: PLC0415 - the driver is an extra, which may not be installed

    class TimeoutConnection(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **keywords: Any) -> Any:
            # psycopg resumes the generator ten times a second, even while the server sends nothing.
            return super().wait(self._until_timeout(gen), *arguments, **keywords)

        def _until_timeout(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            deadline = monotonic() + timeout_seconds
            ready = None
            while True:
                try:
                    wait_for = gen.send(ready)
                except StopIteration as stop:
                    return stop.value
                ready = yield wait_for
                if monotonic() >= deadline:
                    # Close the connection, so that nothing else waits on it.
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server does not answer")

    return TimeoutConnection


def mysql(text: str) -> Database:
    """A MySQL or MariaDB server, through PyMySQL."""
    url = make_url(text).set(drivername="mysql+pymysql")
    return _server(url, _MYSQL)


def _server(url: URL, arguments: Mapping[str, Any]) -> Database:
    # READ COMMITTED: what a claim waited for is seen as it is then, and ranges between rows are not locked.
    return Database(_engine(url, arguments, isolation_level="READ COMMITTED"), True)


def _engine(url: URL, arguments: Mapping[str, Any], **more: Any) -> Engine:
    # Parameters are hidden, as an error's text would else hold addresses and tokens.
    return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=dict(arguments), **more)


def make_private(path: Path) -> None:
    """See that a database file is there and that nobody else may read it; SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _on_connect(connection: object, _entry: ConnectionPoolEntry) -> None:
    # The driver's own way of beginning transactions is switched off: it begins them late, and unlocked.
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()  # type: ignore[attr-defined]


def _on_begin(connection: Connection) -> None:
    # With the write lock from the start, a transaction waits for another process here or nowhere.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_retryable(error: Exception) -> bool:
    """Whether another node was in the way, and all may be well at the next try."""
    if isinstance(error, IntegrityError):
        # Both wrote the same row.
        return True
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlstate", None) in _RETRYABLE_STATES or _code(cause) in _RETRYABLE_CODES


def is_table_exists_race(error: DBAPIError) -> bool:
    """Whether a table is there that was not when it was looked for."""
    return getattr(error.orig, "sqlstate", None) in _EXISTS_STATES or _code(error.orig) in _EXISTS_CODES


def is_broken(error: Exception) -> bool:
    """Whether the database is to blame, rather than one of the requests."""
    if isinstance(error, (IntegrityError, DataError)):
        return False
    return isinstance(error, (DBAPIError, sqlite3.Error, OSError))


def safe_message(error: Exception) -> str:
    """What went wrong, in words that hold nothing of a page and no token."""
    if isinstance(error, StoreError):
        return str(error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return f"the store's database cannot be used: {cause.strerror or type(cause).__name__}"
    return f"the store's database cannot do it: {_safe_cause(cause)}"


def _safe_cause(cause: BaseException | None) -> str:
    name = type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        return str(cause)
    code = _code(cause)
    if code:
        # Client errors are numbered from 2000 on.
        is_safe = cause is not None and len(cause.args) > 1 and (code in _SAFE_CODES or 2000 <= code < 3000)
        return f"{name} {code}" + (f": {_one_line(cause.args[1])}" if is_safe and cause is not None else "")
    # PostgreSQL tells values in the detail only, which is left out; libpq's own errors have no parts.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    if primary or getattr(cause, "pgconn", None) is not None or name == "OperationalError":
        return f"{name}: {_one_line(primary or cause)}"
    return name


def _code(cause: BaseException | None) -> int:
    """MySQL's number of an error; 0 for other errors."""
    return cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], int) else 0


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_MAX_MESSAGE_CHARS]

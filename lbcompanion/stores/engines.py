"""The differences between databases: how to connect with time limits, and how to classify their errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from lbcompanion.errors import StoreError
from lbcompanion.stores.sqlite_wal import use_wal

#: How long a server may take to accept a connection.
CONNECT_SECONDS = 3
#: How long a server may take for one statement, including the wait for locks.
STATEMENT_SECONDS = 5

#: With WAL and synchronous=NORMAL, a commit survives a crash of the process, perhaps not a power failure;
#: copies live for minutes anyway. secure_delete=FAST overwrites deleted content if that costs no extra write.
_PRAGMAS = ("synchronous=NORMAL", "secure_delete=FAST", "journal_size_limit=67108864")

#: Parameters of libpq (PostgreSQL manual, section 34.1.2). TCP detects a peer that vanished without closing. In the
#: same way the server detects a node that vanished within a transaction, and releases its locks.
_POSTGRESQL: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    "keepalives_idle": STATEMENT_SECONDS,
    "keepalives_interval": STATEMENT_SECONDS,
    "keepalives_count": 2,
    "application_name": "lbcompanion",
    # Rows are small, because bodies have their own table, so the planner would prefer sequential scans to indexes.
    # Where no index fits (a sum over all rows), the penalised scan would look worth JIT compilation, of 100 ms.
    "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c idle_in_transaction_session_timeout=10s"
    " -c enable_seqscan=off -c jit=off",
}
#: Without a strict mode, a server may truncate values that are too long, and report success.
_MYSQL: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "read_timeout": STATEMENT_SECONDS * 2,
    "write_timeout": STATEMENT_SECONDS * 2,
    "charset": "utf8mb4",
    "init_command": f"SET SESSION sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={STATEMENT_SECONDS}",
}

#: Conflicts with another node: deadlock, serialization failure, lock wait timeout (PostgreSQL manual, appendix A;
#: MariaDB's error codes).
_RETRYABLE_STATES = frozenset({"40001", "40P01", "55P03"})
_RETRYABLE_CODES = frozenset({1205, 1213})
#: The table or the column exists already: another node has added it since this one looked.
_EXISTS_STATES = frozenset({"42P07", "42710", "42701"})
_EXISTS_CODES = frozenset({1050, 1060})
#: The user may use the tables, but not change their definition.
_FORBIDDEN_STATES = frozenset({"42501"})
_FORBIDDEN_CODES = frozenset({1142})
#: Errors of writing: SQLite's result codes, PostgreSQL's disk_full, io_error and read_only_sql_transaction, MariaDB's
#: codes of full disks and tables and of read-only servers.
_UNWRITABLE_SQLITE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL})
_UNWRITABLE_STATES = frozenset({"53100", "58030", "25006"})
_UNWRITABLE_CODES = frozenset({3, 28, 1021, 1026, 1114, 1290, 1836})
_UNWRITABLE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
#: Errors of MySQL and MariaDB whose text contains no page data: connections, rights, limits, locks, disks.
_SAFE_CODES = frozenset(
    {1021, 1040, 1041, 1044, 1045, 1049, 1114, 1142, 1146, 1153, 1203, 1205, 1213, 1226, 1290, 1836}
)
_MAX_MESSAGE_CHARS = 200


@frozen
class Database:
    """A database and its SQLAlchemy engine.

    :ivar shared: whether several nodes may use it at once.
    :ivar file: SQLite's database file; None for a server.
    """

    engine: Engine
    shared: bool
    file: Path | None = None


def sqlite(url: URL, busy_seconds: float) -> Database:
    """A SQLite database in a file.

    :param busy_seconds: how long to wait for another process's lock before a request fails.
    """
    arguments = {"check_same_thread": False, "timeout": busy_seconds}
    engine = _engine(url, arguments)
    event.listen(engine, "connect", partial(_on_connect, busy_seconds))
    event.listen(engine, "begin", _on_begin)
    return Database(engine, shared=False, file=Path(url.database or ""))


def postgresql(
    text: str, timeout_seconds: float = STATEMENT_SECONDS * 2, session_options: str = "", **options: Any
) -> Database:
    """A PostgreSQL server, through psycopg.

    :param timeout_seconds: how long one answer of the server may take. A server whose process is stopped (SIGSTOP)
        keeps its connections open, and the driver would wait for it without limit.
    :param session_options: further options of the server's session, such as ``-c NAME=VALUE``.
    :param options: of SQLAlchemy's engine, such as its pool.
    """
    connect_with_timeout = _timeout_connection(timeout_seconds).connect
    url = make_url(text).set(drivername="postgresql+psycopg")
    arguments = {**_POSTGRESQL, "options": f"{_POSTGRESQL['options']} {session_options}".strip()}
    database = _server(url, arguments, options)

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


def mysql(text: str, **options: Any) -> Database:
    """A MySQL or MariaDB server, through PyMySQL.

    :param options: of SQLAlchemy's engine, such as its pool.
    """
    url = make_url(text).set(drivername="mysql+pymysql")
    return _server(url, _MYSQL, options)


def _server(url: URL, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> Database:
    # READ COMMITTED: after waiting for a lock, a claim sees the committed rows, and gaps between rows are not locked.
    return Database(_engine(url, arguments, isolation_level="READ COMMITTED", **options), shared=True)


def _engine(url: URL, arguments: Mapping[str, Any], **more: Any) -> Engine:
    # Parameters are hidden because error texts would otherwise contain addresses and tokens.
    more.setdefault("poolclass", NullPool)
    return create_engine(url, hide_parameters=True, connect_args=dict(arguments), **more)


def make_private(path: Path) -> None:
    """Create a database file if necessary, with mode 0600. SQLite gives its WAL files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _on_connect(busy_seconds: float, connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # Switch off the driver's implicit BEGIN: it comes late, and takes no write lock.
    connection.isolation_level = None
    use_wal(connection, busy_seconds)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    # Take the write lock at the start, so that a transaction waits for other processes only here.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_retryable(error: Exception) -> bool:
    """Whether this is a deadlock, a serialization failure or a similar conflict, so that a retry may succeed."""
    if isinstance(error, IntegrityError):
        # Two nodes inserted the same row.
        return True
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlstate", None) in _RETRYABLE_STATES or _code(cause) in _RETRYABLE_CODES


def is_exists_race(error: DBAPIError) -> bool:
    """Whether another node has created the table, or added the column, in the meantime."""
    return getattr(error.orig, "sqlstate", None) in _EXISTS_STATES or _code(error.orig) in _EXISTS_CODES


def is_forbidden(error: DBAPIError) -> bool:
    """Whether the user lacks the right to do this."""
    return getattr(error.orig, "sqlstate", None) in _FORBIDDEN_STATES or _code(error.orig) in _FORBIDDEN_CODES


def is_broken(error: Exception) -> bool:
    """Whether the database as a whole failed, rather than one request."""
    if isinstance(error, (IntegrityError, DataError)):
        return False
    return isinstance(error, (DBAPIError, sqlite3.Error, OSError))


def is_unwritable(error: Exception) -> bool:
    """Whether the database can be reached, but not written: a full or read-only disk, a read-only server."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return cause.errno in _UNWRITABLE_ERRNOS
    # The low byte of SQLite's code is the primary result code.
    sqlite_code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return (
        sqlite_code in _UNWRITABLE_SQLITE
        or getattr(cause, "sqlstate", None) in _UNWRITABLE_STATES
        or _code(cause) in _UNWRITABLE_CODES
    )


def safe_message(error: Exception) -> str:
    """The error as a message without page data and without tokens."""
    if isinstance(error, StoreError):
        return str(error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return f"the store's database cannot be used: {cause.strerror or type(cause).__name__}"
    return f"the store's database cannot do it: {safe_cause(cause)}"


def safe_cause(cause: BaseException | None) -> str:
    """The error of a driver as a short text without values of rows."""
    name = type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        return str(cause)
    code = _code(cause)
    if code:
        # Errors of the client library have numbers from 2000.
        is_safe = cause is not None and len(cause.args) > 1 and (code in _SAFE_CODES or 2000 <= code < 3000)
        return f"{name} {code}" + (f": {_one_line(cause.args[1])}" if is_safe and cause is not None else "")
    # PostgreSQL puts values into the detail only, which is omitted. Errors of libpq itself have a text only.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    if primary or getattr(cause, "pgconn", None) is not None or name == "OperationalError":
        return f"{name}: {_one_line(primary or cause)}"
    return name


def _code(cause: BaseException | None) -> int:
    """MySQL's error number; 0 for errors of other databases."""
    return cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], int) else 0


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_MAX_MESSAGE_CHARS]

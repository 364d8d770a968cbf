"""The crawler's database, with the tables of :mod:`.schema`: lazy connection, changes in transactions.

Synchronous, over SQLAlchemy Core; the service calls everything here on one thread. A transaction's changes are durable
when it ends. SQLite serves one crawler; a database server serves several.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.schema import APPLIED_MIGRATIONS, METADATA, MIGRATIONS, RECORDINGS, TURNS
from lbcompanion.crawler.queue.url_keys import fill_url_keys
from lbcompanion.errors import CompanionError
from lbcompanion.schema_migrations import add_missing_columns, apply_migrations
from lbcompanion.stores import engines
from lbcompanion.stores.sqlite_wal import use_wal

#: The topics of :class:`~lbcompanion.crawler.health.Health`.
WRITING, READING = "the queue cannot be written", "the queue cannot be read"
#: The row of ``turns`` that a crawler locks while it claims notices.
CLAIMING = "claiming"
#: PostgreSQL's channel for :meth:`Database.notify`.
CHANNEL = "lbcompanion_queue"

_SQLITE = "sqlite:///"
#: How long SQLite waits for another process, such as a command that opens the queue of a running crawler.
_BUSY_SECONDS = 5.0
#: After a failed connection, transactions fail at once for this many seconds instead of waiting for the server.
_PAUSE_SECONDS = 1.0
#: A bitmap of all due notices would have to be sorted for each claim. Before its first ANALYZE, PostgreSQL would choose
#: that; an index has them in order.
_IN_ORDER = "-c enable_bitmapscan=off"
#: The server ends a transaction whose crawler was stopped: nobody could claim notices meanwhile.
_IDLE_SECONDS = 5
_IDLE_POSTGRESQL = f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS}s"
#: How often to try the creation of tables: crawlers that start at once may each create another table first.
_MAX_PREPARE_TRIES = 12
#: How often to try a transaction that conflicts with others, and for how long: other work of the thread waits.
_MAX_TRIES, _MAX_RETRY_SECONDS = 10, 5.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class BacklogError(CompanionError):
    """The queue's database failed."""


class ConflictError(BacklogError):
    """The database ended a transaction because of another one, such as at a deadlock. Nothing was changed."""


def retried(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Call a method again after conflicts with other transactions. It must be one transaction."""

    @wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        until = monotonic() + _MAX_RETRY_SECONDS
        for _ in range(_MAX_TRIES - 1):
            try:
                return method(*args, **kwargs)
            except ConflictError:
                if monotonic() >= until:
                    raise
        return method(*args, **kwargs)

    return call


def _set_pragmas(connection: Any, _record: Any) -> None:
    use_wal(connection, _BUSY_SECONDS)
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _limit_idle_transactions(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    with suppress(Exception):  # MySQL has no such limit, and the driver's errors are of an extra
        cursor.execute(f"SET SESSION idle_transaction_timeout = {_IDLE_SECONDS}")
    cursor.close()


def queue_file(url: str) -> Path | None:
    """Return the file of a queue; None if the queue is not in a file."""
    name = url.removeprefix(_SQLITE).partition("?")[0]
    return Path(name) if url.startswith(_SQLITE) and name not in ("", ":memory:") else None


def open_engine(url: str) -> Engine:
    """Make an engine for the queue's database; SQLite is configured so that a commit survives a power failure.

    :param url: as the configuration has it; for SQLite with an absolute path.
    """
    # A server's connection is tested before each use: the server may have been restarted.
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 1, "pool_pre_ping": True}
    if url.startswith("postgresql:"):
        return engines.postgresql(url, session_options=f"{_IN_ORDER} {_IDLE_POSTGRESQL}", **pool).engine
    if url.startswith("mysql:"):
        engine = engines.mysql(url, **pool).engine
        event.listen(engine, "connect", _limit_idle_transactions)
        return engine
    # A single connection; the service uses it from one thread at a time, though the pool may replace that thread.
    engine = create_engine(
        url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_pragmas)
    return engine


class _ThreadTransaction(threading.local):
    """The open transaction of a thread that gathers its changes, and the error that made it fail."""

    connection: Connection | None = None
    failure: BacklogError | None = None


class Database:
    """The database that backlog, route table and archive index share.

    :param health: where failures are reported. A read that succeeds does not say that writing works.
    :param clock: for the pause after a server could not be reached.
    :ivar claimant: the name under which this process claims notices; None at a queue that serves one crawler only,
        where nothing is claimed.
    """

    def __init__(self, engine: Engine, health: Health | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._health = health or Health()
        self._clock = clock
        self._paused_until = 0.0
        self._joined = _ThreadTransaction()
        self.claimant: str | None = None

    @property
    def is_server(self) -> bool:
        """Whether several crawlers can use the database at once."""
        return self._engine.dialect.name != "sqlite"

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back where that raises.

        :raises BacklogError: if the database fails.
        """
        with self._transaction(WRITING, "free or enlarge the disk, or correct the rights") as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads.

        :raises BacklogError: if the database fails.
        """
        with self._transaction(READING, "see whether the file is there and whole") as connection:
            yield connection

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """One transaction for all that this thread does within the block. Its changes become durable at the end.

        A :class:`BacklogError` of the database within the block, but not another error of a single change, makes the
        whole transaction fail.

        :raises BacklogError: if the database fails.
        """
        joined = self._joined
        with self.change() as connection:
            joined.connection, joined.failure = connection, None
            try:
                yield
            finally:
                joined.connection = None
            if joined.failure is not None:
                raise joined.failure

    @contextmanager
    def _join(self, connection: Connection, topic: str, advice: str) -> Iterator[Connection]:
        """A part of the transaction that is already open."""
        if self._joined.failure is not None:  # a server answers nothing more within this transaction
            raise self._joined.failure
        try:
            yield connection
        except SQLAlchemyError as failure:
            self._joined.failure = self._failed(failure, topic, advice)
            raise self._joined.failure from None

    @contextmanager
    def _transaction(self, topic: str, advice: str) -> Iterator[Connection]:
        if self._joined.connection is not None:
            with self._join(self._joined.connection, topic, advice) as joined:
                yield joined
            return
        if self._clock() < self._paused_until:
            raise BacklogError("the queue's database cannot be reached")
        try:
            with self._engine.begin() as connection:
                before = _changes(connection)
                yield connection
                wrote = topic == READING or _changes(connection) != before or before < 0
        except SQLAlchemyError as failure:
            raise self._failed(failure, topic, advice) from None
        if wrote:
            self._health.works(topic)

    def _failed(self, failure: SQLAlchemyError, topic: str, advice: str) -> BacklogError:
        # The driver's text may quote bound values, so only the error's class is reported.
        why = type(failure).__name__
        if self.is_server:
            why, advice = engines.safe_cause(getattr(failure, "orig", failure)), "see whether the server runs"
            if _is_disconnected(failure):
                self._paused_until = self._clock() + _PAUSE_SECONDS
        text = f"the queue's database failed: {why}"
        if engines.is_retryable(failure) and not isinstance(failure, IntegrityError):
            return ConflictError(text)
        self._health.failed(topic, f"{why}; {advice}")
        return BacklogError(text)

    def open(self) -> None:
        """Create missing tables and columns, and apply the steps that the database lacks.

        :raises BacklogError: if the database cannot be used.
        """
        for _ in range(_MAX_PREPARE_TRIES - 1 if self.is_server else 0):
            try:
                with self._engine.begin() as connection:
                    _prepare(connection)
            except DBAPIError as failure:
                # Another crawler creates the same tables at this moment.
                if engines.is_retryable(failure) or engines.is_exists_race(failure):
                    continue
            except SQLAlchemyError:
                pass
            break
        with self.change() as connection:
            _prepare(connection)

    def notify(self, connection: Connection, what: str) -> None:
        """Wake the other crawlers when the transaction ends; of the databases only PostgreSQL can do so.

        :param what: a word for what has changed.
        """
        if self._engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_notify(CHANNEL, f"{what} {self.claimant or ''}")))

    def compact(self) -> None:
        """Empty SQLite's write-ahead log, which has pages with deleted rows; other databases do this themselves."""
        if self._engine.dialect.name != "sqlite":
            return
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        except SQLAlchemyError as failure:
            raise BacklogError(f"the queue's database failed: {type(failure).__name__}") from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _prepare(connection: Connection) -> None:
    is_new = not inspect(connection).has_table(RECORDINGS.name)
    METADATA.create_all(connection)
    for table in METADATA.sorted_tables:
        add_missing_columns(connection, table)
    apply_migrations(connection, APPLIED_MIGRATIONS, MIGRATIONS, is_new=is_new)
    fill_url_keys(connection)
    if connection.execute(select(TURNS.c.name).where(TURNS.c.name == CLAIMING)).first() is None:
        connection.execute(insert(TURNS).values(name=CLAIMING))


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet; another crawler may insert the same ones at the same time.

    :returns: how many were inserted.
    """
    statement: Any
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
    elif connection.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        statement = insert(table).prefix_with("IGNORE")
    given: Any = dict(rows[0]) if len(rows) == 1 else [dict(row) for row in rows]
    return connection.execute(statement, given, execution_options={"preserve_rowcount": True}).rowcount if rows else 0


def insert_new_keys(
    connection: Connection, table: Table, key: Column[str], rows: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Insert the rows whose keys are not there yet, as :func:`insert_new` does; return the keys of those inserted.

    The rows have different keys, and are inserted in their order.
    """
    dialect = connection.dialect
    if not rows or dialect.name not in {"postgresql", "sqlite"} or not dialect.insert_executemany_returning:
        return {row[key.name] for row in rows if insert_new(connection, table, [row])}
    made = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
    statement: Any = made.on_conflict_do_nothing().returning(key)
    return set(connection.execute(statement, [dict(row) for row in rows]).scalars())


def database_clock(connection: Connection) -> float:
    """Return the time of the database's clock: crawlers on several machines need one clock."""
    now: ColumnElement[Any] = {
        "postgresql": literal_column("extract(epoch from clock_timestamp())::float8"),
        "sqlite": literal_column("(julianday('now') - 2440587.5) * 86400.0"),
    }.get(connection.dialect.name, literal_column("unix_timestamp(sysdate(6))"))
    return float(connection.execute(select(now)).scalar_one())


def _is_disconnected(failure: SQLAlchemyError) -> bool:
    """Whether the server could not be reached, or the connection to it broke."""
    if not isinstance(failure, OperationalError):
        return False
    number = failure.orig.args[0] if failure.orig is not None and failure.orig.args else 0
    if isinstance(number, int):  # MySQL's; those from 2000 are of the client
        return failure.connection_invalidated or number == 0 or number >= 2000
    return failure.connection_invalidated or not getattr(failure.orig, "sqlstate", None)


def _changes(connection: Connection) -> int:
    """Return how many rows this connection has changed so far; -1 if the driver does not say."""
    changes = getattr(connection.connection.driver_connection, "total_changes", -1)
    return int(changes)

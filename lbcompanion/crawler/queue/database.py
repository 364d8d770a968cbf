"""The crawler's database, with the tables of :mod:`.schema`: lazy connection, changes in transactions.

Synchronous, over SQLAlchemy Core; the service calls everything here on one thread. A transaction's changes are durable
when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.schema import APPLIED_MIGRATIONS, METADATA, MIGRATIONS, RECORDINGS
from lbcompanion.errors import CompanionError
from lbcompanion.schema_migrations import add_missing_columns, apply_migrations

#: The topics of :class:`~lbcompanion.crawler.health.Health`.
WRITING, READING = "the queue cannot be written", "the queue cannot be read"


class BacklogError(CompanionError):
    """The queue's database failed."""


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def open_engine(url: str) -> Engine:
    """Make an engine for the queue's database; SQLite is configured so that a commit survives a power failure.

    :param url: an SQLAlchemy URL; for SQLite with an absolute path.
    """
    if not url.startswith("sqlite"):
        return create_engine(url)
    # A single connection; the service uses it from one thread at a time, though the pool may replace that thread.
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _set_pragmas)
    return engine


class Database:
    """The database that backlog, route table and archive index share.

    :param health: where failures are reported. A read that succeeds does not say that writing works.
    """

    def __init__(self, engine: Engine, health: Health | None = None) -> None:
        self._engine = engine
        self._health = health or Health()

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
    def _transaction(self, topic: str, advice: str) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                before = _changes(connection)
                yield connection
                wrote = topic == READING or _changes(connection) != before or before < 0
        except SQLAlchemyError as failure:
            # The driver's text may quote bound values, so only the error's class is reported.
            self._health.failed(topic, f"{type(failure).__name__}; {advice}")
            raise BacklogError(f"the queue's database failed: {type(failure).__name__}") from None
        if wrote:
            self._health.works(topic)

    def open(self) -> None:
        """Create missing tables and columns, and apply the steps that the database lacks.

        :raises BacklogError: if the database cannot be used.
        """
        with self.change() as connection:
            is_new = not inspect(connection).has_table(RECORDINGS.name)
            METADATA.create_all(connection)
            for table in METADATA.sorted_tables:
                add_missing_columns(connection, table)
            apply_migrations(connection, APPLIED_MIGRATIONS, MIGRATIONS, is_new=is_new)

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


def _changes(connection: Connection) -> int:
    """Return how many rows this connection has changed so far; -1 if the driver does not say."""
    changes = getattr(connection.connection.driver_connection, "total_changes", -1)
    return int(changes)

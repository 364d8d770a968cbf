"""The crawler's database: connected to lazily, with the tables of :mod:`.schema`, changed in transactions.

Synchronous, over SQLAlchemy Core; the service calls everything here on one thread. What a transaction changed is
durable when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from lbcompanion.crawler.queue.schema import METADATA
from lbcompanion.errors import CompanionError


class BacklogError(CompanionError):
    """The queue's database cannot do what was asked of it now."""


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def open_engine(url: str) -> Engine:
    """Connect lazily to the queue's database; SQLite is set so that a commit survives a power cut.

    :param url: an SQLAlchemy URL; for SQLite with an absolute path.
    """
    if not url.startswith("sqlite"):
        return create_engine(url)
    # One connection, one thread: the service sees to that, also when the threads of a pool change.
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _set_pragmas)
    return engine


class Database:
    """What the queue, the table of routes and the archive's index share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back where that raises.

        :raises BacklogError: where the database fails.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as failure:
            # The driver's text may quote bound values: only its kind is told.
            raise BacklogError(f"the queue's database failed: {type(failure).__name__}") from None

    def open(self) -> None:
        """Make the tables where they are missing.

        :raises BacklogError: where the database cannot be used.
        """
        with self.change() as connection:
            METADATA.create_all(connection)
            _add_columns(connection)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _add_columns(connection: Connection) -> None:
    """Give tables that an earlier version made the columns that came later; those may all be null."""
    for table in METADATA.sorted_tables:
        existing = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in existing:
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))

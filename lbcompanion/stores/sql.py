"""``sqlite:///...``: copies in a database, through SQLAlchemy Core; they outlive the process.

Only :class:`_Database` knows which database it is; SQLite is the one that this version opens.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from attrs import frozen
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.lifetime import WallClock, check_size
from lbcompanion.stores.rows import Arrival, Rows
from lbcompanion.stores.schema import prepare
from lbcompanion.stores.threads import BatchQueue, DeferToThread

T = TypeVar("T")

#: Bodies that may wait for a slow disk before further ones are refused, so that memory stays bounded.
WAITING_BYTES = 64 * 1024 * 1024

#: WAL with synchronous=NORMAL: a commit outlives the process, if not always the power; copies live for minutes.
#: secure_delete=FAST wipes what is deleted wherever that costs no further write.
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=FAST", "journal_size_limit=67108864")


@frozen
class _Request:
    """Work inside a transaction, or, for grouping, a copy to keep."""

    work: Callable[[Rows], object] | None = None
    arrival: Arrival | None = None


@implementer(IPageStore)
class SqlStore:
    """Copies in a database. Nothing is opened before the first request, and a database that fails is opened anew at
    the next one: a node starts and serves without it.

    :param url: SQLAlchemy's own, of the ``sqlite`` kind, with an absolute path.
    :param clock: seconds since the epoch.
    :param defer_to_thread: where the blocking work goes; never asked twice at a time.
    :param busy_seconds: how long another process may hold the database before a request fails.
    """

    def __init__(
        self,
        url: URL,
        settings: StoreTable,
        clock: WallClock,
        defer_to_thread: DeferToThread,
        busy_seconds: float = 5.0,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = _Database(url, settings, busy_seconds)
        self._queue: BatchQueue[_Request] = BatchQueue(self._database.run, defer_to_thread)
        self._waiting_bytes = 0

    def put(self, page: Page) -> Deferred[None]:
        """Keep a copy; fires when it is committed. Fails also where too much waits already."""
        size = len(page.body)
        try:
            check_size(self._settings, page)
            if self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES:
                raise StoreError("the database is too slow: too many copies wait for it")
        except StoreError as error:
            return fail(error)
        self._waiting_bytes += size
        kept: Deferred[None] = self._queue.ask(_Request(arrival=Arrival(page, self._clock())))
        return kept.addBoth(self._no_longer_waits, size)

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """The copy, or why there is none."""
        now = self._clock()
        return self._ask(lambda rows: rows.find(token, now))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """The same."""
        return self.peek(token)

    def sent(self, token: str) -> Deferred[None]:
        """The copy went out whole."""
        now = self._clock()
        return self._ask(lambda rows: rows.sent(token, now))

    def drop(self, token: str) -> Deferred[bool]:
        """The crawler has it safely."""
        now = self._clock()
        return self._ask(lambda rows: rows.drop(token, now))

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """Leave a tombstone; a copy that is there stays."""
        now = self._clock()
        return self._ask(lambda rows: rows.mark(token, miss, now))

    def sweep(self) -> Deferred[int]:
        """Take away what is past its time."""
        now = self._clock()
        return self._ask(lambda rows: rows.sweep(now))

    def tokens(self) -> Deferred[list[str]]:
        """All copies that live, oldest first."""
        now = self._clock()
        return self._ask(lambda rows: rows.tokens(now))

    def stats(self) -> Deferred[dict[str, int]]:
        """What is held now, and what happened since the start of this process."""
        return self._ask(lambda rows: rows.stats())

    def close(self) -> Deferred[None]:
        """Finish what waits, then let go of the file."""
        return self._queue.close(self._database.disconnect)

    def _ask(self, work: Callable[[Rows], T]) -> Deferred[T]:
        return self._queue.ask(_Request(work))

    def _no_longer_waits(self, result: Failure | None, size: int) -> Failure | None:
        self._waiting_bytes -= size
        return result


class _Database:
    """One connection, used by one thread at a time; blocking."""

    def __init__(self, url: URL, settings: StoreTable, busy_seconds: float) -> None:
        self._url = url
        self._settings = settings
        # Parameters are hidden, as an error's text would else hold addresses and tokens.
        self._engine: Engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"check_same_thread": False, "timeout": busy_seconds},
        )
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _begin)
        self._connection: Connection | None = None
        self._counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}

    def run(self, requests: Sequence[_Request]) -> list[object]:
        """Do all of them in one transaction; one that cannot be done at all does not spoil the others.

        :returns: a result or a ``StoreError`` for each.
        """
        try:
            return self._in_one_transaction(requests)
        except Exception as error:
            said = _to_store_error(error)
            if self._connection is None or _is_broken(error):
                self.disconnect()
                return [said] * len(requests)
        if len(requests) == 1:
            return [said]
        return [self.run([request])[0] for request in requests]

    def disconnect(self) -> None:
        """Close the connection, if there is one; the next run opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # A connection that breaks while it is closed is closed.
            with suppress(SQLAlchemyError, sqlite3.Error):
                connection.close()

    def _in_one_transaction(self, requests: Sequence[_Request]) -> list[object]:
        connection = self._connect()
        results: list[object] = []
        with connection.begin():
            rows = Rows(connection, self._settings, self._counters)
            for are_arrivals, group in groupby(requests, lambda request: request.arrival is not None):
                if are_arrivals:
                    arrivals = [request.arrival for request in group if request.arrival is not None]
                    rows.put(arrivals)
                    results += [None] * len(arrivals)
                else:
                    results += [request.work(rows) for request in group if request.work is not None]
        self._counters = rows.counters
        return results

    def _connect(self) -> Connection:
        if self._connection is None:
            _make_private(Path(self._url.database or ""))
            connection = self._engine.connect()
            try:
                with connection.begin():
                    prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _make_private(path: Path) -> None:
    """See that a database file is there and that nobody else may read it; SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _set_up(connection: object, _entry: ConnectionPoolEntry) -> None:
    # The driver's own way of beginning transactions is switched off: it begins them late, and unlocked.
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()  # type: ignore[attr-defined]


def _begin(connection: Connection) -> None:
    # With the write lock from the start, a transaction waits for another process here or nowhere.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_broken(error: Exception) -> bool:
    """Whether the database is to blame, rather than one of the requests."""
    if isinstance(error, (IntegrityError, DataError)):
        return False
    return isinstance(error, (DBAPIError, sqlite3.Error, OSError))


def _to_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return StoreError(f"the store's database cannot be used: {cause.strerror or type(cause).__name__}")
    said = str(cause) if isinstance(cause, sqlite3.Error) else type(cause).__name__
    return StoreError(f"the store's database cannot do it: {said}")

"""``sqlite:``, ``postgresql:``, ``mysql:``: durable copies in a database, through SQLAlchemy Core.

:mod:`~lbcompanion.stores.engines` has what differs between databases, :mod:`~lbcompanion.stores.sql_operations` what
one transaction does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lbcompanion.errors import PageRefused, StoreError, StoreUnreachable, StoreUnwritable
from lbcompanion.model import WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores.engines import (
    Database,
    is_broken,
    is_exists_race,
    is_retryable,
    is_unwritable,
    make_private,
    safe_message,
)
from lbcompanion.stores.remote import BatchedStore, RemoteBackend, Request
from lbcompanion.stores.schema import prepare
from lbcompanion.stores.sql_operations import Headroom, SqlOperations
from lbcompanion.stores.threads import DeferToThread

#: How often to try a transaction that conflicts with another node.
_MAX_TRIES = 5
#: How often to try the creation of tables: nodes that start at once may each create another table first.
_MAX_PREPARE_TRIES = 12


class SqlStore(BatchedStore):
    """A store in a database."""

    def __init__(
        self, database: Database, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread
    ) -> None:
        super().__init__(_SqlBackend(database, settings), settings, now, defer_to_thread)


class _SqlBackend(RemoteBackend):
    def __init__(self, database: Database, settings: StoreTable) -> None:
        super().__init__()
        self._database = database
        self._settings = settings
        self._connection: Connection | None = None
        self._counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}
        self._headroom = Headroom()
        self._keeps_heads = True

    @property
    def is_open(self) -> bool:
        """Whether there is a connection. It may be broken without our knowledge."""
        return self._connection is not None

    def attempt(self, requests: Sequence[Request]) -> list[object]:
        """Execute the requests in one transaction. If one of them fails, execute each in a transaction of its own."""
        try:
            return self._in_one_transaction(requests)
        except Exception as error:
            if not self.is_open or is_broken(error):
                kind = StoreUnwritable if is_unwritable(error) else StoreUnreachable
                raise kind(safe_message(error)) from error
            failed = error if isinstance(error, StoreError) else PageRefused(safe_message(error))
        if len(requests) == 1:
            return [failed]
        return [self.attempt([request])[0] for request in requests]

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        self._headroom = Headroom()
        if connection is not None:
            # A connection that breaks during close is closed as well.
            with suppress(SQLAlchemyError, sqlite3.Error, OSError):
                connection.close()

    def _in_one_transaction(self, requests: Sequence[Request]) -> list[object]:
        connection = self._connect()
        for _ in range(_MAX_TRIES - 1 if self._database.shared else 0):
            try:
                return self._transact(connection, requests)
            except DBAPIError as error:
                if not is_retryable(error):
                    raise
        return self._transact(connection, requests)

    def _transact(self, connection: Connection, requests: Sequence[Request]) -> list[object]:
        results: dict[int, object] = {}
        with connection.begin():
            operations = SqlOperations(
                connection, self._settings, self._counters, self._headroom, keeps_heads=self._keeps_heads
            )
            for indexes in group_by_verb(requests):
                results |= zip(indexes, operations.run([requests[index] for index in indexes]), strict=True)
        self._counters = operations.counters
        self._headroom = operations.headroom
        return [results[index] for index in range(len(requests))]

    def _connect(self) -> Connection:
        if self._connection is None:
            if self._database.file is not None:
                make_private(self._database.file)
            connection = self._database.engine.connect()
            try:
                self._prepare(connection)
            except BaseException:
                with suppress(SQLAlchemyError, sqlite3.Error, OSError):
                    connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: Connection) -> None:
        # If several nodes start at once, all find no tables, and all but one fail to create them.
        for _ in range(_MAX_PREPARE_TRIES - 1 if self._database.shared else 0):
            try:
                return self._prepare_once(connection)
            except DBAPIError as error:
                if not (is_retryable(error) or is_exists_race(error)):
                    raise
        return self._prepare_once(connection)

    def _prepare_once(self, connection: Connection) -> None:
        with connection.begin():
            self._keeps_heads = prepare(connection)


def group_by_verb(requests: Sequence[Request]) -> list[list[int]]:
    """Group the indexes of requests by verb, even if others came between.

    Requests about one copy keep their order. A request about all copies comes after every earlier request.
    """
    groups: list[list[int]] = []
    verbs: list[str] = []
    #: By token, the first group that may hold a further request for it; the empty token is for all.
    last: dict[str, int] = {}
    for index, request in enumerate(requests):
        earliest = max(last.get(request.token, 0), last.get("", 0)) if request.token else len(groups)
        group = next((group for group in range(earliest, len(groups)) if verbs[group] == request.verb), len(groups))
        if group == len(groups):
            groups.append([])
            verbs.append(request.verb)
        groups[group].append(index)
        last[request.token] = group
    return groups

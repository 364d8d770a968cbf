"""``sqlite:``, ``postgresql:``, ``mysql:``: copies in a database, through SQLAlchemy Core; they outlive the process.

:mod:`~lbcompanion.stores.engines` knows what differs between databases, :mod:`~lbcompanion.stores.rows` what is done in
a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lbcompanion.errors import PageRefused, StoreError, StoreUnreachable
from lbcompanion.model import WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores.engines import Database, is_broken, is_crossed, make_private, told, was_made_meanwhile
from lbcompanion.stores.queued import Outside, QueuedStore, Request
from lbcompanion.stores.rows import Room, Rows
from lbcompanion.stores.schema import prepare
from lbcompanion.stores.threads import DeferToThread

#: How often a transaction is tried that another node's got in the way of.
_TRIES = 5
#: The same for the tables: of several nodes that start at once, each may be the first with one of them.
_TRIES_TO_PREPARE = 12


class SqlStore(QueuedStore):
    """Copies in a database."""

    def __init__(
        self, database: Database, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread
    ) -> None:
        super().__init__(_OneConnection(database, settings), settings, now, defer_to_thread)


class _OneConnection(Outside):
    def __init__(self, database: Database, settings: StoreTable) -> None:
        super().__init__()
        self._database = database
        self._settings = settings
        self._connection: Connection | None = None
        self._counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}
        self._room = Room()

    @property
    def is_open(self) -> bool:
        """As far as is known."""
        return self._connection is not None

    def attempt(self, requests: Sequence[Request]) -> list[object]:
        """Do all of them in one transaction; one that cannot be done at all does not spoil the others."""
        try:
            return self._in_one_transaction(requests)
        except Exception as error:
            if not self.is_open or is_broken(error):
                raise StoreUnreachable(told(error)) from error
            failed = error if isinstance(error, StoreError) else PageRefused(told(error))
        if len(requests) == 1:
            return [failed]
        return [self.attempt([request])[0] for request in requests]

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        self._room = Room()
        if connection is not None:
            # A connection that breaks while it is closed is closed.
            with suppress(SQLAlchemyError, sqlite3.Error, OSError):
                connection.close()

    def _in_one_transaction(self, requests: Sequence[Request]) -> list[object]:
        connection = self._connect()
        for _ in range(_TRIES - 1 if self._database.shared else 0):
            try:
                return self._transact(connection, requests)
            except DBAPIError as error:
                if not is_crossed(error):
                    raise
        return self._transact(connection, requests)

    def _transact(self, connection: Connection, requests: Sequence[Request]) -> list[object]:
        results: dict[int, object] = {}
        with connection.begin():
            rows = Rows(connection, self._settings, self._counters, self._room)
            for places in in_groups(requests):
                results |= zip(places, rows.do([requests[place] for place in places]), strict=True)
        self._counters = rows.counters
        self._room = rows.room
        return [results[place] for place in range(len(requests))]

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
        # Several nodes that start at once all find no table, and all but one fail to make it.
        for _ in range(_TRIES_TO_PREPARE - 1 if self._database.shared else 0):
            try:
                return self._prepare_once(connection)
            except DBAPIError as error:
                if not (is_crossed(error) or was_made_meanwhile(error)):
                    raise
        return self._prepare_once(connection)

    @staticmethod
    def _prepare_once(connection: Connection) -> None:
        with connection.begin():
            prepare(connection)


def in_groups(requests: Sequence[Request]) -> list[list[int]]:
    """Which requests, by their places, are done together: those of one verb, though others came between.

    What is asked of one copy is done in the order in which it was asked, and what is about all copies after all that
    was asked before it.
    """
    groups: list[list[int]] = []
    verbs: list[str] = []
    #: The group before which no request for that token may be done; under the empty token, for any.
    last: dict[str, int] = {}
    for place, request in enumerate(requests):
        least = max(last.get(request.token, 0), last.get("", 0)) if request.token else len(groups)
        at = next((at for at in range(least, len(groups)) if verbs[at] == request.verb), len(groups))
        if at == len(groups):
            groups.append([])
            verbs.append(request.verb)
        groups[at].append(place)
        last[request.token] = at
    return groups

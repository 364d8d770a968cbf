"""The queue of notices for the crawler, on disk: written durably before the browser gets 204."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from lbcompanion.errors import NoticeError, StoreError
from lbcompanion.model import Loss, Notice
from lbcompanion.protocol.notices import read_notices, write_notices
from lbcompanion.stores.threads import BatchQueue, DeferToThread

#: The limit of the queue: a crawler that never returns must not fill the node's disk.
MAX_WAITING = 100_000

_TABLES = (
    "CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT UNIQUE, notice BLOB)",
    "CREATE TABLE IF NOT EXISTS lost (token TEXT PRIMARY KEY, reason TEXT)",
)


@frozen
class _Add:
    notice: Notice


@frozen
class _Oldest:
    count: int


@frozen
class _Remove:
    ids: tuple[int, ...]


@frozen
class _AddLosses:
    losses: Mapping[str, str]


@frozen
class _Losses:
    count: int


@frozen
class _RemoveLosses:
    tokens: tuple[str, ...]


_Request = _Add | _Oldest | _Remove | _AddLosses | _Losses | _RemoveLosses


class Spool:
    """A queue in an SQLite file; one thread does all work, and concurrent requests share a transaction.

    A token is queued once: a second notice for it is ignored while the first is queued. Reports of lost copies are
    queued separately.
    """

    def __init__(self, path: Path, defer_to_thread: DeferToThread, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._max_waiting = max_waiting
        self._database: sqlite3.Connection | None = None
        self._queue: BatchQueue[_Request] = BatchQueue(self._run, defer_to_thread)
        self.waiting = 0
        self.unreadable = 0

    def add(self, notice: Notice) -> Deferred[bool]:
        """Queue a notice; False if the spool is full. Fails with ``StoreError`` on a disk error."""
        return self._queue.submit(_Add(notice))

    def oldest(self, count: int) -> Deferred[list[tuple[int, Notice]]]:
        """The oldest notices, with their ids for :meth:`remove`."""
        return self._queue.submit(_Oldest(count))

    def remove(self, ids: Sequence[int]) -> Deferred[None]:
        """They were delivered."""
        return self._queue.submit(_Remove(tuple(ids)))

    def add_losses(self, losses: Mapping[str, str]) -> Deferred[None]:
        """Queue reports of lost copies, token to reason; those over the limit are dropped."""
        return self._queue.submit(_AddLosses(losses))

    def losses(self, count: int) -> Deferred[list[Loss]]:
        """Some of the queued losses."""
        return self._queue.submit(_Losses(count))

    def remove_losses(self, losses: Sequence[Loss]) -> Deferred[None]:
        """They were delivered."""
        return self._queue.submit(_RemoveLosses(tuple(loss.token for loss in losses)))

    def close(self) -> Deferred[None]:
        """Close the file."""
        return self._queue.close(self._close)

    # In the thread.

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=5)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            for table in _TABLES:
                database.execute(table)
            self._database = database
            self.waiting = database.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return self._database

    def _run(self, requests: Sequence[_Request]) -> Sequence[object]:
        try:
            database = self._open_database()
            database.execute("BEGIN IMMEDIATE")
            try:
                results = [self._execute(database, request) for request in requests]
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self._database = None
            raise StoreError(f"the spool of notices fails: {type(error).__name__}") from None
        self.waiting = database.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return results

    def _execute(self, database: sqlite3.Connection, request: _Request) -> Any:
        if isinstance(request, _Add):
            if self.waiting >= self._max_waiting:
                return False
            row = (request.notice.token, write_notices([request.notice]))
            database.execute("INSERT OR IGNORE INTO waiting (token, notice) VALUES (?, ?)", row)
            return True
        if isinstance(request, _Oldest):
            return self._oldest(database, request.count)
        if isinstance(request, _Remove):
            database.executemany("DELETE FROM waiting WHERE id = ?", [(number,) for number in request.ids])
            return None
        return self._execute_on_losses(database, request)

    def _execute_on_losses(self, database: sqlite3.Connection, request: _AddLosses | _Losses | _RemoveLosses) -> Any:
        if isinstance(request, _Losses):
            rows = database.execute("SELECT token, reason FROM lost LIMIT ?", (request.count,)).fetchall()
            return [Loss(token, reason) for token, reason in rows]
        if isinstance(request, _RemoveLosses):
            database.executemany("DELETE FROM lost WHERE token = ?", [(token,) for token in request.tokens])
            return None
        room = self._max_waiting - database.execute("SELECT count(*) FROM lost").fetchone()[0]
        rows = list(request.losses.items())[: max(room, 0)]
        database.executemany("INSERT OR IGNORE INTO lost (token, reason) VALUES (?, ?)", rows)
        return None

    def _oldest(self, database: sqlite3.Connection, count: int) -> list[tuple[int, Notice]]:
        while rows := database.execute("SELECT id, notice FROM waiting ORDER BY id LIMIT ?", (count,)).fetchall():
            # Unreadable rows were deleted: query again for others.
            if found := [entry for number, notice in rows if (entry := self._read(database, number, notice))]:
                return found
        return []

    def _read(self, database: sqlite3.Connection, number: int, text: object) -> tuple[int, Notice] | None:
        try:
            return number, read_notices(text if isinstance(text, bytes) else b"")[0]
        except (NoticeError, IndexError):
            # An unreadable row must not block the others.
            self.unreadable += 1
            database.execute("DELETE FROM waiting WHERE id = ?", (number,))
            return None

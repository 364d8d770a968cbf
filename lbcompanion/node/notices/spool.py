"""The queue of notices for the crawler, on disk: written durably before the browser gets 204.

The queue is limited in notices and in bytes. Anybody can post notices, so when it is full, the sender with the largest
share gives way: its largest notice is dropped for one of a sender with a smaller share. The crawler gets the token of a
dropped notice as a loss with its reason.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lbcompanion.errors import NoticeError, StoreError
from lbcompanion.model import Loss, LossCode, LossReason, Notice
from lbcompanion.node.health import SPOOL, SPOOL_FULL, Health
from lbcompanion.protocol.notices import read_notices, write_notices
from lbcompanion.stores.sqlite_wal import use_wal
from lbcompanion.stores.threads import BatchQueue, DeferToThread

#: The limit of the queue in notices: a crawler that never returns must not fill the node's disk.
MAX_WAITING = 100_000
#: The default limit of the queue in bytes.
MAX_BYTES = 268_435_456
#: The queue has room again once this share of both limits is free, so that the log is not filled.
_ROOM_SHARE = 0.1
#: How long to wait for another process of the node that writes the queue.
_BUSY_SECONDS = 5.0
#: How many notices one new notice may replace.
_MAX_DROPPED = 64

_TABLES = (
    "CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT UNIQUE, notice BLOB,"
    " source TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS lost (token TEXT PRIMARY KEY, reason TEXT)",
    # What each source and all sources have in ``waiting``. Triggers keep it, since several processes write.
    "CREATE TABLE IF NOT EXISTS shares (source TEXT PRIMARY KEY, bytes INTEGER NOT NULL, notices INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, notices INTEGER NOT NULL)",
)
_ADD_SOURCE = "ALTER TABLE waiting ADD COLUMN source TEXT NOT NULL DEFAULT ''"
_COUNT_ALL = (
    "DELETE FROM shares",
    "INSERT INTO shares SELECT source, sum(length(notice)), count(*) FROM waiting GROUP BY source",
    "INSERT INTO totals SELECT 1, coalesce(sum(length(notice)), 0), count(*) FROM waiting",
)
_ADDED = """
    INSERT INTO shares VALUES (new.source, length(new.notice), 1) ON CONFLICT (source)
        DO UPDATE SET bytes = bytes + length(new.notice), notices = notices + 1;
    UPDATE totals SET bytes = bytes + length(new.notice), notices = notices + 1;
"""
_REMOVED = """
    UPDATE shares SET bytes = bytes - length(old.notice), notices = notices - 1 WHERE source = old.source;
    DELETE FROM shares WHERE source = old.source AND notices <= 0;
    UPDATE totals SET bytes = bytes - length(old.notice), notices = notices - 1;
"""
_TRIGGERS = (
    "CREATE INDEX IF NOT EXISTS shares_bytes ON shares (bytes)",
    "CREATE INDEX IF NOT EXISTS waiting_sizes ON waiting (source, length(notice))",
    f"CREATE TRIGGER IF NOT EXISTS waiting_added AFTER INSERT ON waiting BEGIN {_ADDED} END",
    f"CREATE TRIGGER IF NOT EXISTS waiting_removed AFTER DELETE ON waiting BEGIN {_REMOVED} END",
    f"CREATE TRIGGER IF NOT EXISTS waiting_changed AFTER UPDATE OF notice ON waiting BEGIN {_REMOVED} {_ADDED} END",
)
_LARGEST_SHARE = "SELECT source, bytes FROM shares ORDER BY bytes DESC LIMIT 1"
_LARGEST_NOTICE = (
    "SELECT id, token, length(notice) FROM waiting WHERE source = ? ORDER BY length(notice) DESC, id DESC LIMIT 1"
)


@frozen
class _Add:
    notice: Notice
    source: str


@frozen
class _Probe:
    pass


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


_Request = _Add | _Probe | _Oldest | _Remove | _AddLosses | _Losses | _RemoveLosses


class Spool:
    """A queue in an SQLite file; one thread does all work, and concurrent requests share a transaction.

    A token is queued once: a second notice for it is ignored while the first is queued. Reports of lost copies are
    queued separately.

    :ivar waiting: the number of queued notices.
    :ivar waiting_bytes: their size.
    :ivar unreadable: the number of rows that were deleted because they were unreadable.
    """

    def __init__(
        self,
        path: Path,
        defer_to_thread: DeferToThread,
        max_waiting: int = MAX_WAITING,
        max_bytes: int = MAX_BYTES,
        health: Health | None = None,
    ) -> None:
        """:param health: where failures are reported; None reports none."""
        self._path = path
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._health = health if health is not None else Health(lambda event, detail: None)
        self._database: sqlite3.Connection | None = None
        self._queue: BatchQueue[_Request] = BatchQueue(self._run, defer_to_thread)
        self.waiting = 0
        self.waiting_bytes = 0
        self.unreadable = 0
        #: Notices that were dropped for those of others.
        self.dropped = 0

    def add(self, notice: Notice, source: str = "") -> Deferred[bool]:
        """Queue a notice; False if the spool is full. Fails with ``StoreError`` on a disk error.

        :param source: who posted it; all notices of one source share the room that is left.
        """
        return self._write(_Add(notice, source)).addCallback(self._check_room)

    def probe(self) -> Deferred[None]:
        """Write something, to find out whether a disk that failed works again."""
        return self._write(_Probe())

    def oldest(self, count: int) -> Deferred[list[tuple[int, Notice]]]:
        """The oldest notices, with their ids for :meth:`remove`."""
        return self._queue.submit(_Oldest(count)).addErrback(self._failed)

    def remove(self, ids: Sequence[int]) -> Deferred[None]:
        """Remove delivered notices."""
        return self._write(_Remove(tuple(ids)))

    def add_losses(self, losses: Mapping[str, str]) -> Deferred[None]:
        """Queue reports of lost copies, token to reason; those over the limit are dropped."""
        return self._write(_AddLosses(losses))

    def losses(self, count: int) -> Deferred[list[Loss]]:
        """Some of the queued losses."""
        return self._queue.submit(_Losses(count)).addErrback(self._failed)

    def remove_losses(self, losses: Sequence[Loss]) -> Deferred[None]:
        """Remove delivered losses."""
        return self._write(_RemoveLosses(tuple(loss.token for loss in losses)))

    def close(self) -> Deferred[None]:
        """Close the file."""
        return self._queue.close(self._close)

    def _write(self, request: _Request) -> Deferred[Any]:
        return self._queue.submit(request).addCallbacks(self._succeeded, self._failed)

    def _succeeded(self, result: Any) -> Any:
        self._health.works(SPOOL)
        return result

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(StoreError):
            self._health.failed(SPOOL, str(failure.value))
        return failure

    def _check_room(self, accepted: bool) -> bool:  # noqa: FBT001 - a callback
        most = 1 - _ROOM_SHARE
        if not accepted:
            self._health.failed(SPOOL_FULL, f"{self.waiting} notices, {self.waiting_bytes} bytes")
        elif self.waiting <= self._max_waiting * most and self.waiting_bytes <= self._max_bytes * most:
            self._health.works(SPOOL_FULL)
        return accepted

    # In the thread.

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS)
            use_wal(database, _BUSY_SECONDS)
            database.execute("PRAGMA synchronous=FULL")
            _prepare(database)
            self._database = database
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
            raise StoreError(f"the spool of notices fails: {_words(error)}") from None
        self.waiting_bytes, self.waiting = _totals(database)
        return results

    def _execute(self, database: sqlite3.Connection, request: _Request) -> Any:
        if isinstance(request, _Add):
            return self._add(database, request.notice, request.source)
        if isinstance(request, _Probe):
            # As large as a notice. Both statements write to the disk when the transaction ends.
            database.execute("INSERT OR REPLACE INTO lost (token, reason) VALUES ('', hex(randomblob(2048)))")
            database.execute("DELETE FROM lost WHERE token = ''")
            return None
        if isinstance(request, _Oldest):
            return self._oldest(database, request.count)
        if isinstance(request, _Remove):
            database.executemany("DELETE FROM waiting WHERE id = ?", [(number,) for number in request.ids])
            return None
        return self._execute_on_losses(database, request)

    def _add(self, database: sqlite3.Connection, notice: Notice, source: str) -> bool:
        row = write_notices([notice])
        if not self._has_room(database, len(row)):
            if database.execute("SELECT 1 FROM waiting WHERE token = ?", (notice.token,)).fetchone():
                return True
            if not self._make_room(database, source, len(row)):
                self._add_losses(database, {notice.token: LossReason.of(LossCode.SPOOL_FULL).text})
                return False
        values = (notice.token, row, source)
        database.execute("INSERT OR IGNORE INTO waiting (token, notice, source) VALUES (?, ?, ?)", values)
        return True

    def _has_room(self, database: sqlite3.Connection, size: int) -> bool:
        waiting_bytes, waiting = _totals(database)
        return waiting < self._max_waiting and waiting_bytes + size <= self._max_bytes

    def _make_room(self, database: sqlite3.Connection, source: str, size: int) -> bool:
        """Drop the largest notices of the sources with the largest shares until the new notice has room.

        :returns: False if it gets no room, and nothing was dropped: its own source has the largest share and no larger
            notice waiting, or would have the largest share with it.
        """
        database.execute("SAVEPOINT make_room")
        dropped = self._drop_for(database, source, size)
        if not dropped:
            database.execute("ROLLBACK TO make_room")
        database.execute("RELEASE make_room")
        self.dropped += dropped
        return dropped > 0

    def _drop_for(self, database: sqlite3.Connection, source: str, size: int) -> int:
        """Drop notices until a new one has room; return how many, or 0 if it gets no room."""
        for dropped in range(1, _MAX_DROPPED + 1):
            largest = database.execute(_LARGEST_SHARE).fetchone()
            if largest is None:
                return 0
            number, token, its_size = database.execute(_LARGEST_NOTICE, largest[:1]).fetchone()
            own = database.execute("SELECT bytes FROM shares WHERE source = ?", (source,)).fetchone()
            own_bytes = own[0] if own else 0
            if its_size <= size if largest[0] == source else largest[1] <= own_bytes + size:
                return 0
            database.execute("DELETE FROM waiting WHERE id = ?", (number,))
            self._add_losses(database, {token: LossReason.of(LossCode.SPOOL_FULL).text})
            if self._has_room(database, size):
                return dropped
        return 0

    def _add_losses(self, database: sqlite3.Connection, losses: Mapping[str, str]) -> None:
        room = self._max_waiting - database.execute("SELECT count(*) FROM lost").fetchone()[0]
        rows = list(losses.items())[: max(room, 0)]
        database.executemany("INSERT OR IGNORE INTO lost (token, reason) VALUES (?, ?)", rows)

    def _execute_on_losses(self, database: sqlite3.Connection, request: _AddLosses | _Losses | _RemoveLosses) -> Any:
        if isinstance(request, _Losses):
            rows = database.execute("SELECT token, reason FROM lost LIMIT ?", (request.count,)).fetchall()
            return [Loss(token, reason) for token, reason in rows]
        if isinstance(request, _RemoveLosses):
            database.executemany("DELETE FROM lost WHERE token = ?", [(token,) for token in request.tokens])
            return None
        self._add_losses(database, request.losses)
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


def _prepare(database: sqlite3.Connection) -> None:
    """Create what is missing: an earlier version had no sources."""
    database.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        database.execute(table)
    if "source" not in {row[1] for row in database.execute("PRAGMA table_info(waiting)")}:
        database.execute(_ADD_SOURCE)
    if not database.execute("SELECT 1 FROM totals").fetchone():
        for statement in _COUNT_ALL:
            database.execute(statement)
    for statement in _TRIGGERS:
        database.execute(statement)
    database.execute("COMMIT")


def _totals(database: sqlite3.Connection) -> tuple[int, int]:
    """The bytes and the number of waiting notices."""
    row: tuple[int, int] = database.execute("SELECT bytes, notices FROM totals").fetchone()
    return row


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"

"""Finds recordings by filters, newest view first, page by page in both directions.

A query without a fitting index reads recordings in their order, in pieces, for a limited time. Then it returns what it
has found and where it has stopped; the next page continues there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from attrs import frozen
from sqlalchemy import Select, func, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.util import ClauseAdapter

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.filters import NOT_ERASED, Condition, Filters, indexed_and_others
from lbcompanion.crawler.queue.schema import RECORDINGS

#: How long one search may read, in seconds, where no index has the answer.
SEARCH_SECONDS = 0.05

#: A filter that this many recordings fulfil at most is looked up in its index, and the other filters are checked.
_FEW = 1000
#: How many recordings are read at a time: at first, and at most.
_FIRST_PIECE, _MAX_PIECE = 1000, 20_000
#: The columns with an index, the most selective ones first.
_INDEXED = ("visitor", "url_key", "status", "method", "route", "outcome", "site", "origin_node")
#: The columns that the filters of a search compare.
_CHECKED = tuple(
    RECORDINGS.c[name] for name in ("id", "viewed_at", "token", "url", "page_url", "title_key", "reason", *_INDEXED)
)
#: What a cursor looks like. It excludes numbers that are not finite, or far from any time.
CURSOR_PATTERN = r"[0-689a-e][0-9a-f]{15}[0-7][0-9a-f]{15}"
_CURSOR = struct.Struct(">dQ")


@frozen(order=True)
class Position:
    """The place of a recording in the order of all recordings."""

    viewed_at: float
    id: int

    @property
    def cursor(self) -> str:
        """The text that names the position: both numbers in hexadecimal."""
        return _CURSOR.pack(self.viewed_at, self.id).hex()

    @classmethod
    def read(cls, cursor: str) -> Position:
        """Read a cursor.

        :raises ValueError: if the text is not a cursor.
        """
        if not re.fullmatch(CURSOR_PATTERN, cursor):
            raise ValueError("not a cursor")
        return cls(*_CURSOR.unpack(bytes.fromhex(cursor)))


@frozen
class FoundPage:
    """A page of the listing.

    :ivar rows: newest first.
    :ivar next: where the next page, with older recordings, begins; None if there are no older recordings.
    :ivar previous: where the previous page ends; None if there are no newer recordings as far as is known.
    :ivar searched_to: the search stopped at this time of view, because it would have taken too long; more recordings
        may be behind it. None if it did not stop.
    """

    rows: tuple[Any, ...]
    next: Position | None = None
    previous: Position | None = None
    searched_to: float | None = None


@frozen
class _Hits:
    """Positions in the order of the query, and where the search stopped early."""

    positions: list[Position]
    stopped_at: Position | None = None


class Search:
    """The search, over the crawler's database.

    :param clock: measures how long a search takes.
    :param seconds: how long one may read where no index has the answer.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float] = monotonic, seconds: float = SEARCH_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._seconds = seconds

    def page(
        self, filters: Filters, limit: int, *, after: Position | None = None, before: Position | None = None
    ) -> FoundPage:
        """Return a page of the listing.

        :param after: the page begins behind this position.
        :param before: the page ends in front of this position. With ``after``, it is where the listing ends.
        :raises BacklogError: if the database fails.
        """
        with self._database.read() as connection:
            query = _Query(connection, filters, after, before)
            hits = self._find(query, limit + 1)
            positions = hits.positions[:limit]
            rows = _rows(connection, positions)
        if before is not None and after is None:
            rows.reverse()
        has_more = len(hits.positions) > limit
        first, last = (positions[0], positions[-1]) if positions else (None, None)
        if hits.stopped_at is not None and not has_more:
            last, has_more = hits.stopped_at, True
        searched_to = hits.stopped_at.viewed_at if hits.stopped_at is not None and len(positions) < limit else None
        if before is None or after is not None:
            return FoundPage(tuple(rows), last if has_more else None, first or after if after else None, searched_to)
        return FoundPage(tuple(rows), first or before, last if has_more else None, searched_to)

    def _find(self, query: _Query, wanted: int) -> _Hits:
        """Return the first positions, at most as many as are wanted."""
        if query.has_one_index:
            return _Hits(query.first(wanted))
        few = query.rarest()
        return self._scan(query, wanted) if few is None else _Hits(query.among(few, wanted))

    def _scan(self, query: _Query, wanted: int) -> _Hits:
        """Read recordings in their order, and check the filters, for a limited time."""
        end = self._clock() + self._seconds
        size, found = _FIRST_PIECE, list[Position]()
        while True:
            started = self._clock()
            hits, last = query.piece(size, wanted - len(found))
            found += hits
            if last is None or len(found) >= wanted:
                return _Hits(found)
            query.start = last
            now = self._clock()
            if now >= end:
                return _Hits(found, last)
            # The next piece may take twice as long as the last one: other pages of the table may have to be read.
            fits = size * (end - now) / max(now - started, 1e-6) / 2
            size = min(max(int(fits), _FIRST_PIECE // 4), 2 * size, _MAX_PIECE)


class _Query:
    """The conditions of one search.

    :ivar start: the position where it begins.
    """

    def __init__(
        self, connection: Connection, filters: Filters, after: Position | None, before: Position | None
    ) -> None:
        self._connection = connection
        self.start = before if after is None else after
        self._is_forward = before is None or after is not None
        self._end = before if after is not None else None
        self._filters = filters
        indexed, self._others = indexed_and_others(filters, connection.dialect.name)
        self._indexed = dict(sorted(indexed.items(), key=lambda each: _INDEXED.index(each[0])))
        #: Whether the index of addresses has the recordings wanted, but not in the order of the listing.
        self._has_range = "url_key" in indexed and filters.url is not None and filters.url.begins

    @property
    def has_one_index(self) -> bool:
        """Whether one index has the answer in the right order."""
        return len(self._indexed) < 2 and not self._others and not self._has_range

    def first(self, wanted: int) -> list[Position]:
        """Return the first recordings, where one index has the answer."""
        return self._run(self._ordered(_positions().where(*self._indexed.values(), *self._bounds())).limit(wanted))

    def rarest(self) -> Condition | None:
        """Return the condition that the fewest recordings fulfil; None if many fulfil each of them."""
        counts = {}
        for name, condition in self._indexed.items():
            first = select(RECORDINGS.c.id).where(condition, *self._bounds()).limit(_FEW + 1).subquery()
            counts[name] = self._connection.execute(select(func.count()).select_from(first)).scalar_one()
            if counts[name] <= _FEW // 10:
                break
        name = min(counts, key=lambda each: counts[each], default="")
        return self._indexed[name] if name and counts[name] <= _FEW else None

    def among(self, condition: Condition, wanted: int) -> list[Position]:
        """Return the first of the few recordings that fulfil a condition."""
        # The limit does not change the result; it keeps the database from using another index first.
        few = select(RECORDINGS.c.id).where(condition, *self._bounds()).limit(_FEW).subquery()
        query = _positions().join(few, few.c.id == RECORDINGS.c.id)
        return self._run(self._ordered(query.where(*self._indexed.values(), *self._others)).limit(wanted))

    def piece(self, size: int, wanted: int) -> tuple[list[Position], Position | None]:
        """Read a number of recordings, and return those that fulfil the filters, and the last one that was read.

        :returns: positions; and None if there are no recordings behind.
        """
        driver = next((name for name in self._indexed if not (name == "url_key" and self._has_range)), "")
        others = [each for name, each in self._indexed.items() if name != driver] + self._others
        own = [self._indexed[driver]] if driver else []
        read = self._ordered(select(*_CHECKED).where(*own, *self._bounds())).limit(size).subquery()
        checked = ClauseAdapter(read).traverse(self._ordered(_positions().where(*others)).limit(wanted))
        found = self._run(checked)
        last = self._run(self._ordered(_positions().where(*own, *self._bounds())).offset(size - 1).limit(1))
        return found, last[0] if last else None

    def _bounds(self) -> list[Condition]:
        """The part of the order that is searched, without erased recordings."""
        viewed_at = RECORDINGS.c.viewed_at
        found: list[Condition] = [NOT_ERASED]
        if self._filters.start is not None:
            found.append(viewed_at >= self._filters.start)
        if self._filters.end is not None:
            found.append(viewed_at < self._filters.end)
        if self.start is not None:
            found += _behind(self.start, is_forward=self._is_forward)
        if self._end is not None:
            found += _behind(self._end, is_forward=False)
        return found

    def _ordered(self, query: Select[Any]) -> Select[Any]:
        columns = RECORDINGS.c.viewed_at, RECORDINGS.c.id
        return query.order_by(*(each.desc() if self._is_forward else each.asc() for each in columns))

    def _run(self, query: Select[Any]) -> list[Position]:
        return [Position(row.viewed_at, row.id) for row in self._connection.execute(query).all()]


def _positions() -> Select[Any]:
    return select(RECORDINGS.c.viewed_at, RECORDINGS.c.id)


def _behind(position: Position, *, is_forward: bool) -> list[Condition]:
    """The recordings behind a position. The first condition is a range of the index in every database."""
    at, number = RECORDINGS.c.viewed_at, RECORDINGS.c.id
    if is_forward:
        return [at <= position.viewed_at, or_(at < position.viewed_at, number < position.id)]
    return [at >= position.viewed_at, or_(at > position.viewed_at, number > position.id)]


def _rows(connection: Connection, positions: Sequence[Position]) -> list[Any]:
    """Return the rows at positions, in their order; a row that was erased meanwhile is left out."""
    found: dict[int, Any] = {}
    for start in range(0, len(positions), 500):
        ids = [each.id for each in positions[start : start + 500]]
        query = select(RECORDINGS).where(RECORDINGS.c.id.in_(ids), NOT_ERASED)
        found |= {row.id: row._mapping for row in connection.execute(query).all()}
    return [found[each.id] for each in positions if each.id in found]

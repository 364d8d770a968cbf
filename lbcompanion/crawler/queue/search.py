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

from attrs import field, frozen
from sqlalchemy import ColumnElement, Select, and_, column, func, or_, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.sql import operators
from sqlalchemy.sql.util import ClauseAdapter

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.url_keys import ADDRESS, KEY_CHARS, url_key
from lbcompanion.model import Verdict

#: The value of the filter ``outcome`` for a recording without an outcome.
OPEN = "open"
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
_LAST_CHARACTER = "\U0010ffff"

#: What a cursor looks like. It excludes numbers that are not finite, or far from any time.
CURSOR_PATTERN = r"[0-689a-e][0-9a-f]{15}[0-7][0-9a-f]{15}"
_CURSOR = struct.Struct(">dQ")

Condition = ColumnElement[bool]
# A table of its own: a piece's columns must not take the place of these.
_later = table("recordings", *map(column, ("id", "viewed_at", "visitor", "erasure"))).alias("later")
#: Whether there is a later view by the same visitor.
_LATER_VIEW = (
    select(_later.c.id)
    .where(_later.c.visitor == RECORDINGS.c.visitor, _later.c.erasure.is_(None))
    .where(_later.c.viewed_at >= RECORDINGS.c.viewed_at)
    .where(or_(_later.c.viewed_at > RECORDINGS.c.viewed_at, _later.c.id > RECORDINGS.c.id))
    .exists()
)
_NOT_ERASED = RECORDINGS.c.erasure.is_(None)


@frozen
class Pattern:
    """A text as a filter has it: ``text`` is the whole value, ``text*`` its beginning, ``*text*`` a part of it.

    :ivar text: without the stars.
    """

    text: str
    begins: bool = False
    contains: bool = False

    @classmethod
    def read(cls, given: str) -> Pattern:
        """Read a filter's value.

        :raises ValueError: if it has a star at its beginning only.
        """
        if not given.startswith("*"):
            return cls(given.removesuffix("*"), begins=given.endswith("*"))
        if not given.endswith("*"):
            raise ValueError("a star at the beginning needs one at the end")
        return cls(given[1:-1], contains=True)

    @property
    def is_everything(self) -> bool:
        """Whether each text fulfils it."""
        return not self.text and (self.begins or self.contains)


@frozen
class Filters:
    """Which recordings are wanted: those that fulfil all conditions. An empty value is no condition.

    :ivar url: of the page's address. Without a star, the fragment does not count.
    :ivar start: when the page was viewed at the earliest, in seconds since the epoch.
    :ivar end: when it was viewed, exclusive.
    :ivar node: the node whose copy it is.
    :ivar outcome: ``archived``, ``lost`` or ``open``.
    :ivar reason: of the reason why a page is lost.
    :ivar visitors: the pseudonyms of the visitor who saw the page; None is no condition.
    :ivar title: a part of the title, in upper or lower case.
    :ivar last_of_visitor: of each visitor the last view only.
    """

    url: Pattern | None = field(default=None, repr=False)
    start: float | None = None
    end: float | None = None
    node: str = ""
    route: str = ""
    outcome: str = ""
    reason: Pattern | None = None
    status: int | None = None
    method: str = ""
    visitors: tuple[str, ...] | None = field(default=None, repr=False)
    title: str = field(default="", repr=False)
    site: str = ""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    last_of_visitor: bool = False


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
        indexed, self._others = _conditions(filters, connection.dialect.name)
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
        found: list[Condition] = [_NOT_ERASED]
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
        query = select(RECORDINGS).where(RECORDINGS.c.id.in_(ids), _NOT_ERASED)
        found |= {row.id: row._mapping for row in connection.execute(query).all()}
    return [found[each.id] for each in positions if each.id in found]


def conditions(filters: Filters, dialect: str) -> list[Condition]:
    """Return the conditions of filters, for the table of recordings.

    :param dialect: the name of the database's kind.
    """
    indexed, others = _conditions(filters, dialect)
    times = [RECORDINGS.c.viewed_at >= filters.start] if filters.start is not None else []
    times += [RECORDINGS.c.viewed_at < filters.end] if filters.end is not None else []
    return [_NOT_ERASED, *times, *indexed.values(), *others]


def _conditions(filters: Filters, dialect: str) -> tuple[dict[str, Condition], list[Condition]]:
    """Return the conditions on columns with an index, and the others."""
    columns = RECORDINGS.c
    indexed: dict[str, Condition] = {}
    others: list[Condition] = []
    for name, value in (("origin_node", filters.node), ("route", filters.route), ("method", filters.method)):
        if value:
            indexed[name] = columns[name] == value
    if filters.site:
        indexed["site"] = columns.site == filters.site
    if filters.status is not None:
        indexed["status"] = columns.status == filters.status
    if filters.visitors is not None:
        one = len(filters.visitors) == 1
        indexed["visitor"] = columns.visitor == filters.visitors[0] if one else columns.visitor.in_(filters.visitors)
    if filters.outcome:
        is_open = columns.outcome.is_(None)
        indexed["outcome"] = is_open if filters.outcome == OPEN else columns.outcome == filters.outcome
    if filters.reason is not None and not filters.reason.is_everything:
        # Only lost pages have a reason.
        indexed.setdefault("outcome", columns.outcome == Verdict.LOST.value)
        others.append(_matches(columns.reason, filters.reason, dialect))
    if filters.url is not None and not filters.url.is_everything:
        key, rest = _url_conditions(filters.url, dialect)
        indexed |= {} if key is None else {"url_key": key}
        others += rest
    if filters.title:
        others.append(_find(columns.title_key, filters.title.casefold(), dialect) > 0)
    if filters.tokens:
        others.append(columns.token.in_(filters.tokens))
    if filters.last_of_visitor:
        others += [columns.visitor.is_not(None), ~_LATER_VIEW]
    return indexed, others


def _url_conditions(url: Pattern, dialect: str) -> tuple[Condition | None, list[Condition]]:
    if url.contains:
        return None, [_matches(ADDRESS, url, dialect)]
    key_column = RECORDINGS.c.url_key
    key = url_key(url.text)
    is_longer = len(key) == KEY_CHARS or "#" in url.text
    if url.begins and "#" not in url.text:
        in_range = and_(key_column >= key, key_column < key + _LAST_CHARACTER)
        return in_range, [_matches(ADDRESS, url, dialect)] if is_longer else []
    if url.begins:
        return key_column == key, [_matches(ADDRESS, url, dialect)]
    whole = url.text.partition("#")[0]
    same = or_(_equals(ADDRESS, whole), _equals(func.substr(ADDRESS, 1, len(whole) + 1), f"{whole}#"))
    return key_column == key, [same] if len(key) == KEY_CHARS else []


def _matches(text: Any, pattern: Pattern, dialect: str) -> Condition:
    if pattern.contains:
        return _find(text, pattern.text, dialect) > 0
    if pattern.begins:
        return _equals(func.substr(text, 1, len(pattern.text)), pattern.text)
    return _equals(text, pattern.text)


def _equals(value: ColumnElement[Any], text: str) -> Condition:
    return value.operate(operators.eq, text)


def _find(text: Any, part: str, dialect: str) -> ColumnElement[int]:
    """Return the place of a part within a text; 0 if it is not there. LIKE of SQLite ignores the case."""
    return (func.strpos if dialect == "postgresql" else func.instr)(text, part)

"""The filters of recordings, and the conditions of a query for them."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from sqlalchemy import ColumnElement, and_, column, func, or_, select, table
from sqlalchemy.sql import operators

from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.url_keys import ADDRESS, KEY_CHARS, url_key
from lbcompanion.model import Verdict

#: The value of the filter ``outcome`` for a recording without an outcome.
OPEN = "open"

_LAST_CHARACTER = "\U0010ffff"

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
#: Erased recordings are not found.
NOT_ERASED = RECORDINGS.c.erasure.is_(None)


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
    """Conditions on recordings, which all have to hold. An empty value is no condition.

    :ivar url: the pattern that the page's address matches. Without a star, the fragment does not count.
    :ivar start: when the page was viewed at the earliest, in seconds since the epoch.
    :ivar end: when it was viewed, exclusive.
    :ivar node: the node whose copy it is.
    :ivar outcome: ``archived``, ``lost`` or ``open``.
    :ivar reason: the pattern that the reason of the loss matches.
    :ivar visitors: the pseudonyms of the visitor who saw the page; None is no condition.
    :ivar visitor_begins: the beginning of the visitor's pseudonym.
    :ivar title: a part of the title, in upper or lower case.
    :ivar sites: the names of several sites.
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
    visitor_begins: str = field(default="", repr=False)
    title: str = field(default="", repr=False)
    site: str = ""
    sites: tuple[str, ...] = ()
    tokens: tuple[str, ...] = field(default=(), repr=False)
    last_of_visitor: bool = False


def conditions(filters: Filters, dialect: str) -> list[Condition]:
    """Return the conditions of filters, for the table of recordings.

    :param dialect: the name of the database's kind.
    """
    indexed, others = indexed_and_others(filters, dialect)
    times = [RECORDINGS.c.viewed_at >= filters.start] if filters.start is not None else []
    times += [RECORDINGS.c.viewed_at < filters.end] if filters.end is not None else []
    return [NOT_ERASED, *times, *indexed.values(), *others]


def indexed_and_others(filters: Filters, dialect: str) -> tuple[dict[str, Condition], list[Condition]]:
    """Return the conditions on columns with an index, by these columns, and the other conditions.

    Erased recordings and the time of the view are left out: these belong to the part of the order that is searched.
    """
    columns = RECORDINGS.c
    indexed: dict[str, Condition] = {}
    others: list[Condition] = []
    values = {name: getattr(filters, name) for name in ("route", "method", "site")}
    for name, value in {"origin_node": filters.node, **values}.items():
        if value:
            indexed[name] = columns[name] == value
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
    if filters.visitor_begins:
        # Databases order and compare letters in different ways; a beginning that is cut off is compared like a whole.
        others.append(_matches(columns.visitor, Pattern(filters.visitor_begins, begins=True), dialect))
    if filters.sites:
        others.append(columns.site.in_(filters.sites))
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
    key_is_not_enough = len(key) == KEY_CHARS or "#" in url.text
    if url.begins and "#" not in url.text:
        in_range = and_(key_column >= key, key_column < key + _LAST_CHARACTER)
        return in_range, [_matches(ADDRESS, url, dialect)] if key_is_not_enough else []
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

"""Reads the filters of a search as the API and the command line have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lbcompanion.crawler.queue.filters import OPEN, Filters, Pattern
from lbcompanion.errors import CompanionError
from lbcompanion.model import Verdict, read_time
from lbcompanion.protocol.visitors import is_pseudonym

#: The filters, by their names in a query.
FILTER_NAMES = (
    *("url", "from", "to", "node", "route", "outcome", "reason", "status", "method", "visitor", "title", "site"),
)
_OUTCOMES = {**{each.value: each.value for each in Verdict}, OPEN: OPEN, "null": OPEN}
#: Texts that every database can compare: PostgreSQL refuses NUL, and no database stores half of a surrogate pair.
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_STATUS = re.compile(r"[1-9][0-9][0-9]", re.ASCII)


class BadFilter(CompanionError):
    """A filter cannot be read; the text says which one and what would be right."""


def is_one_line(text: str) -> bool:
    """Whether a text has no control characters."""
    return _TEXT.fullmatch(text) is not None


def read_filters(given: Mapping[str, str], visitors: Callable[[str], tuple[str, ...]] | None = None) -> Filters:
    """Read filters.

    :param given: texts by the names of :data:`FILTER_NAMES`; an empty one is no filter.
    :param visitors: returns the pseudonyms for the value of ``visitor``; None: that is a pseudonym, or its beginning as
        the dashboard's lists show it.
    :raises BadFilter: if one of them cannot be read.
    """
    for name, text in given.items():
        if not is_one_line(text):
            raise BadFilter(f"{name}: control characters are not allowed")
    status = given.get("status", "")
    if status and not _STATUS.fullmatch(status):
        raise BadFilter("status: a number of three digits is allowed")
    outcome = given.get("outcome", "")
    if outcome and outcome not in _OUTCOMES:
        raise BadFilter("outcome: archived, lost and open are allowed")
    visitor = given.get("visitor", "")
    is_beginning = visitors is None and not is_pseudonym(visitor)
    return Filters(
        url=_pattern("url", given),
        start=_time("from", given),
        end=_time("to", given),
        node=given.get("node", ""),
        route=given.get("route", ""),
        outcome=_OUTCOMES.get(outcome, ""),
        reason=_pattern("reason", given),
        status=int(status) if status else None,
        method=given.get("method", ""),
        visitors=(visitors(visitor) if visitors else (visitor,)) if visitor and not is_beginning else None,
        visitor_begins=visitor.rstrip("*\u2026") if is_beginning else "",
        title=given.get("title", ""),
        site=given.get("site", ""),
    )


def _pattern(name: str, given: Mapping[str, str]) -> Pattern | None:
    text = given.get(name, "")
    try:
        return Pattern.read(text) if text else None
    except ValueError:
        raise BadFilter(f"{name}: allowed are the whole text, its beginning as TEXT*, and a part as *TEXT*") from None


def _time(name: str, given: Mapping[str, str]) -> float | None:
    text = given.get(name, "")
    # In a query a plus sign means a space.
    text = text[:19] + text[19:].replace(" ", "+")
    try:
        return read_time(text) if text else None
    except (ValueError, OverflowError):
        raise BadFilter(f"{name}: has to be a date, or a time such as 2026-11-23T21:10:00Z") from None

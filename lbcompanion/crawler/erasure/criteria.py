"""Reads the criteria of an erasure, as the command and the API take them, into a selection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict

from lbcompanion.crawler.erasure.eraser import Result
from lbcompanion.crawler.queue.erasures import Matches, Selection
from lbcompanion.errors import CompanionError
from lbcompanion.model import read_time, to_rfc3339
from lbcompanion.protocol import shapes
from lbcompanion.protocol.visitors import visitor_pseudonyms

CRITERIA = ("token", "url", "visitor", "before")
_TIME = "a date, or a time of RFC 3339, such as 2026-11-23 or 2026-11-23T21:10:00Z"
_MAX_VALUES = 500
#: Texts that every database can compare: PostgreSQL refuses NUL, and no database stores half of a surrogate pair.
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


class BadCriteria(CompanionError):
    """The criteria cannot be read; the text says which one and what would be right, and quotes no value."""


def read_selection(given: Mapping[str, Any], secret: bytes) -> Selection:
    """Read criteria.

    :param given: ``token``, ``url`` and ``visitor``, each a text or a list of texts, and ``before``. A visitor is the
        visitor cookie's value or the pseudonym.
    :param secret: the farm's secret, with those that are accepted beside it.
    :raises BadCriteria: if one cannot be read, or none is given.
    """
    unknown = set(given) - set(CRITERIA)
    if unknown:
        raise BadCriteria(f"a criterion is not known; allowed: {', '.join(CRITERIA)}")
    tokens, urls, visitors = (_texts(given.get(name), name) for name in ("token", "url", "visitor"))
    before = given.get("before")
    if not (tokens or urls or visitors or before is not None):
        raise BadCriteria(f"no criterion is given; allowed: {', '.join(CRITERIA)}")
    if not all(shapes.TOKEN.fullmatch(token) for token in tokens):
        raise BadCriteria("token: has to be a token: 1 to 63 of A-Z a-z 0-9 _ -")
    if not all(url.lower().startswith(("http://", "https://")) for url in urls):
        raise BadCriteria("url: has to be an http or https address; a * at the end stands for any rest")
    return Selection(
        tokens=tokens,
        urls=urls,
        visitors=_pseudonyms(visitors, secret) if visitors else None,
        before=None if before is None else _read_time(before),
    )


def _texts(value: Any, name: str) -> tuple[str, ...]:
    values = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if len(values) > _MAX_VALUES or not all(isinstance(each, str) and _TEXT.fullmatch(each) for each in values):
        raise BadCriteria(
            f"{name}: has to be a text without control characters, or a list of at most {_MAX_VALUES} texts"
        )
    return tuple(values)


def _pseudonyms(visitors: Iterable[str], secret: bytes) -> tuple[str, ...]:
    found: list[str] = []
    for visitor in visitors:
        pseudonyms = visitor_pseudonyms(secret, visitor)
        if not pseudonyms:
            raise BadCriteria("visitor: the values 0 and 1 do not identify a visitor")
        found += pseudonyms
    return tuple(found)


def _read_time(text: Any) -> float:
    try:
        return read_time(text)
    except (TypeError, AttributeError, ValueError, OverflowError):
        raise BadCriteria(f"before: has to be {_TIME}") from None


def dump_result(result: Result) -> dict[str, Any]:
    """Return a result as the object of the API."""
    return {"dry_run": False, **asdict(result)}


def dump_matches(matches: Matches) -> dict[str, Any]:
    """Return the result of a dry run as the object of the API."""
    return {"dry_run": True, **asdict(matches)}


def dump_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of the log as the object of the API."""
    finished_at = entry["finished_at"]
    times = {"at": to_rfc3339(entry["at"]), "finished_at": None if finished_at is None else to_rfc3339(finished_at)}
    rest = {name: value for name, value in entry.items() if name not in ("id", "erased_by")}
    return {"id": entry["id"], "by": entry["erased_by"], **rest, **times}

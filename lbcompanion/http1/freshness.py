"""Rules for a stored response: how long it may be reused, and how it is validated (RFC 9111, shared cache).

No library is used: ``hishel``, the implementation of RFC 9111 that needs no HTTP client, reads the clock itself,
ignores ``Age``, and does not know when a request was sent. Here all times are arguments, in seconds since the epoch.

Field names are in lower case, and field lines are in their original order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import field, frozen

from lbcompanion.http1.dates import parse_http_date

Lines = tuple[tuple[str, str], ...]

#: The largest number of seconds that is distinguished (RFC 9111 section 1.2.2).
MAX_DELTA_SECONDS = 2147483648
#: The longest heuristic lifetime, in seconds, of a response without one of its own.
MAX_HEURISTIC_SECONDS = 86400
#: A response without a lifetime is fresh for this share of the time since its last change (RFC 9111 section 4.2.2).
_HEURISTIC_FRACTION = 0.1
#: Statuses whose responses may be assumed to be fresh (RFC 9110 section 15.1). 206 is left out: no part is stored.
_HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
#: The fields that decide on reuse and validation. No other field of a response has to be kept for that.
FIELDS = frozenset({"age", "cache-control", "date", "etag", "expires", "last-modified", "vary"})

#: A directive (RFC 9111 section 5.2), what stands in its place up to the next comma, or a separator.
_DIRECTIVE = re.compile(
    r"""(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:=(?:"(?P<quoted>(?:[^"\\]|\\.|)*+)"|(?P<token>[^,"]*)))?[^,]*+"""
    r"|[ \t,]++|[^,]++",
    re.DOTALL,
)
_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@frozen
class StoredHead:
    """The head of a response, and when it came.

    :ivar lines: the field lines.
    :ivar requested_at: when the request was sent.
    :ivar received_at: when the response came.
    """

    status: int
    lines: Lines = field(repr=False)
    requested_at: float
    received_at: float

    def current_age(self, now: float) -> float:
        """Return the response's age (RFC 9111 section 4.2.3)."""
        dated = self._time("date", now)
        apparent = 0.0 if dated is None else max(0.0, self.received_at - dated)
        delay = max(0.0, self.received_at - self.requested_at)
        return max(apparent, self._age_value() + delay) + max(0.0, now - self.received_at)

    def lifetime(self, now: float) -> float:
        """Return for how many seconds the response is fresh (RFC 9111 section 4.2.1)."""
        directives = self._directives()
        for name in ("s-maxage", "max-age"):
            if name in directives:
                # Of contradicting values the smallest counts, and one that is no number means 0 (section 4.2.1).
                return min(map(_delta_seconds, directives[name]))
        expires = self._values("expires")
        if expires:
            times = [parse_http_date(each, now) for each in expires]
            # A date that is not valid lies in the past (section 5.3).
            until = min(each if each is not None else 0.0 for each in times)
            return max(0.0, until - self._dated(now))
        return self._heuristic(now, directives)

    def is_fresh(self, now: float) -> bool:
        """Whether the response may be used without asking (RFC 9111 sections 4.2 and 5.2.2.4)."""
        if now < self.received_at or "no-cache" in self._directives() or "*" in self.vary():
            return False  # where the clock was set back, the age is not known
        return self.lifetime(now) > self.current_age(now)

    def may_be_stored(self) -> bool:
        """Whether the response allows that it is kept (RFC 9111 sections 3, 5.2.2.3 and 5.2.2.5)."""
        directives = self._directives()
        if "must-understand" in directives:
            return self.status in _HEURISTIC_STATUSES  # those whose meaning for a cache is known
        return "no-store" not in directives

    def is_private(self) -> bool:
        """Whether the response is meant for one user (RFC 9111 section 5.2.2.7)."""
        return "private" in self._directives()

    def vary(self) -> frozenset[str]:
        """Return the names in ``Vary``, in lower case."""
        return frozenset(name.strip().lower() for value in self._values("vary") for name in value.split(","))

    def conditions(self) -> Lines:
        """Return the fields that validate the response (RFC 9111 section 4.3.1); empty if it has no validator."""
        found = []
        if etag := self.etag():
            found.append(("If-None-Match", etag))
        modified = self._values("last-modified")
        # A file that changed in the second of its response may have changed again (RFC 9110 section 8.8.2.2).
        changed_at, sent_at = self._time("last-modified", self.received_at), self._time("date", self.received_at)
        if changed_at is not None and (etag or (sent_at is not None and sent_at - changed_at >= 1)):
            found.append(("If-Modified-Since", modified[0].strip()))
        return tuple(found)

    def etag(self) -> str:
        """Return the entity tag; empty if there is no valid one."""
        values = self._values("etag")
        return values[0].strip() if len(values) == 1 and _ETAG.fullmatch(values[0].strip()) else ""

    def freshened(self, answer: StoredHead) -> StoredHead | None:
        """Return the head with the fields of a response 304 (RFC 9111 sections 3.2 and 4.3.4).

        :returns: None if the response is about another representation.
        """
        tag = answer.etag()
        if tag and tag.removeprefix("W/") != self.etag().removeprefix("W/"):
            return None
        named = {name for name, _value in answer.lines}
        kept = tuple(line for line in self.lines if line[0] not in named)
        return StoredHead(self.status, (*kept, *answer.lines), answer.requested_at, answer.received_at)

    def _values(self, name: str) -> list[str]:
        return [value for key, value in self.lines if key == name]

    def _directives(self) -> dict[str, list[str]]:
        return cache_directives(self._values("cache-control"))

    def _time(self, name: str, now: float) -> float | None:
        values = self._values(name)
        return parse_http_date(values[0], now) if values else None

    def _dated(self, now: float) -> float:
        """Return the time in ``Date``, or else the time when the response came (RFC 9110 section 6.6.1)."""
        dated = self._time("date", now)
        return self.received_at if dated is None else dated

    def _age_value(self) -> float:
        """Return the first number in ``Age``; any other value is ignored (RFC 9111 section 5.1)."""
        first = ",".join(self._values("age")).partition(",")[0].partition(";")[0].strip()
        return _delta_seconds(first) if _SECONDS.fullmatch(first) else 0.0

    def _heuristic(self, now: float, directives: dict[str, list[str]]) -> float:
        changed_at = self._time("last-modified", now)
        if changed_at is None or not (self.status in _HEURISTIC_STATUSES or "public" in directives):
            return 0.0
        unchanged = max(0.0, self._dated(now) - changed_at)
        return min(unchanged * _HEURISTIC_FRACTION, MAX_HEURISTIC_SECONDS)


def cache_directives(values: Iterable[str]) -> dict[str, list[str]]:
    """Read ``Cache-Control`` (RFC 9111 section 5.2).

    :returns: the arguments of each directive, as often as it occurs; an empty text if it has none.
    """
    found: dict[str, list[str]] = {}
    for directive in _DIRECTIVE.finditer(", ".join(values)):
        if directive["name"]:
            argument = directive["token"] if directive["quoted"] is None else directive["quoted"]
            found.setdefault(directive["name"].lower(), []).append((argument or "").rstrip(" \t"))
    return found


def _delta_seconds(text: str) -> float:
    """Return a number of seconds (RFC 9111 section 1.2.2); 0 if the text is not a number."""
    if not _SECONDS.fullmatch(text):
        return 0.0
    return float(min(int(text), MAX_DELTA_SECONDS)) if len(text) < 20 else float(MAX_DELTA_SECONDS)

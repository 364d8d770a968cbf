"""Dates of HTTP and of cookies (RFC 9110 section 5.6.7, RFC 6265 section 5.1.1).

``email.utils`` reads dates of mail: it accepts what no user agent accepts, and refuses cookies' dates with dashes.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, date, datetime

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
#: The three forms of a date (RFC 9110 section 5.6.7).
_DATES = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>[0-9]{{2}}) (?P<month>[a-z]{{3}}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[a-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[a-z]{{3}})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
#: What separates the parts of a cookie's date (RFC 6265 section 5.1.1): ``cookie-date``, ``delimiter``.
_COOKIE_TOKEN = re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_COOKIE_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])", re.ASCII)
_COOKIE_DAY = re.compile(r"[0-9]{1,2}(?![0-9])", re.ASCII)
_COOKIE_YEAR = re.compile(r"[0-9]{2,4}(?![0-9])", re.ASCII)
#: Years before the Gregorian calendar make a cookie's date invalid.
_FIRST_YEAR = 1601


def parse_http_date(text: str, now: float) -> float | None:
    """Read a date of HTTP in any of its three forms (RFC 9110 section 5.6.7).

    :param now: a year with two digits is at most 50 years after this.
    :returns: seconds since the epoch; None if the text is not a valid date.
    """
    parts = next((found for form in _DATES if (found := form.fullmatch(text.strip()))), None)
    if parts is None or parts["month"].lower() not in _MONTHS:
        return None
    month, year = _MONTHS.index(parts["month"].lower()) + 1, int(parts["year"])
    try:
        if len(parts["year"]) == 2:
            this_year = datetime.fromtimestamp(now, UTC).year
            year += this_year - this_year % 100
            year -= 100 if year > this_year + 50 else 0
    except (ValueError, OverflowError, OSError):
        return None
    return _seconds(year, month, int(parts["day"]), tuple(int(parts[name]) for name in ("hour", "minute", "second")))


def parse_cookie_date(text: str) -> float | None:
    """Read ``Expires`` of ``Set-Cookie`` as user agents do (RFC 6265 section 5.1.1): its parts may have any order.

    All forms of :func:`parse_http_date` are such dates, without leap seconds.

    :returns: seconds since the epoch; None if the text is not a valid date.
    """
    clock: tuple[int, ...] | None = None
    day = month = year = None
    for token in _COOKIE_TOKEN.findall(text):
        if clock is None and (found := _COOKIE_TIME.match(token)):
            clock = tuple(map(int, found.groups()))
        elif day is None and (found := _COOKIE_DAY.match(token)):
            day = int(found[0])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _COOKIE_YEAR.match(token)):
            year = int(found[0])
            year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if clock is None or day is None or month is None or year is None or year < _FIRST_YEAR or clock[2] > 59:
        return None
    return _seconds(year, month, day, clock)


def _seconds(year: int, month: int, day: int, clock: tuple[int, ...]) -> float | None:
    hour, minute, second = clock
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        return float(timegm((*date(year, month, day).timetuple()[:3], hour, minute, second)))
    except (ValueError, OverflowError):
        return None

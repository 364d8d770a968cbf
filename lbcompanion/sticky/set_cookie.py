"""``Set-Cookie``: values and expiry as a user agent stores them (RFC 6265 section 5.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from attrs import field, frozen

from lbcompanion.http1.dates import parse_cookie_date
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import safe_to_send, set_cookie_pairs

#: How many lines of one response are read: browsers keep at most 180 cookies for one site, and dates take work.
MAX_SET_COOKIES = 200

_SECONDS = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@frozen
class SetCookie:
    """A cookie that a server has set.

    :ivar expires_at: the expiry time in seconds since the epoch; None for a session cookie.
    """

    value: str = field(repr=False)
    expires_at: float | None = None


def parse_set_cookies(set_cookies: Iterable[str], now: float) -> dict[str, SetCookie]:
    """The cookies that ``Set-Cookie`` lines set, without deletions and without cookies that cannot be sent back.

    :param set_cookies: the lines' values; of two for one name the last one counts. What stands behind the first
        :data:`MAX_SET_COOKIES` is not read.
    :param now: seconds since the epoch.
    """
    found: dict[str, SetCookie] = {}
    for line in islice(set_cookies, MAX_SET_COOKIES):
        for name, value in set_cookie_pairs([line]).items():
            found.pop(name, None)
            ends = expiry(line, now)
            if value and (ends is None or ends > now) and safe_to_send([RoutingCookie(name, value)]):
                found[name] = SetCookie(value, ends)
    return found


def expiry(line: str, now: float) -> float | None:
    """The expiry time of one ``Set-Cookie`` line by ``Max-Age``, else by ``Expires``; None for a session cookie.

    An attribute that cannot be read is passed over; of several the last one counts, as in RFC 6265 section 5.3.
    """
    max_age = expires = None
    for attribute in line.split(";")[1:]:
        name, _, value = attribute.partition("=")
        name, value = name.strip().lower(), value.strip()
        if name == "max-age" and _SECONDS.fullmatch(value):
            max_age = now + int(value)
        elif name == "expires":
            date = parse_cookie_date(value)
            expires = expires if date is None else date
    return expires if max_age is None else max_age


def earliest_expiry(set_cookies: Iterable[SetCookie]) -> float | None:
    """The earliest expiry time of cookies that are needed together; None if all are session cookies."""
    return min((cookie.expires_at for cookie in set_cookies if cookie.expires_at is not None), default=None)

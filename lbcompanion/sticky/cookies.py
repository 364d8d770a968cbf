"""Parsing of ``Cookie`` as balancers do it (tolerant, the first duplicate wins, raw values), and its serialisation.

The standard library's parsers lose all cookies over one odd one, take quotes off, or let the last duplicate win
(measured), which no balancer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from lbcompanion.model import RoutingCookie

#: What a ``Cookie`` line that we send may weigh; nginx and Apache refuse lines above 8 KiB by default.
MAX_SENT_BYTES = 4096

# RFC 6265 section 4.1.1: a name is a token of RFC 9110 section 5.6.2. Values in the wild hold blanks, commas and
# quotes, which balancers take as they are; what would end the cookie or the line is refused.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e](?:[\x20-\x3a\x3c-\x7e]*[\x21-\x3a\x3c-\x7e])?|", re.ASCII)
_PATTERN = re.compile(r"/(.+)/", re.DOTALL)


def parse(header: str | bytes) -> dict[str, str]:
    """Read a ``Cookie`` header.

    :param header: the value; bytes are read one to one (ISO 8859-1). Several lines are to be joined by ``; ``.
    :returns: name to raw value, in order; the first of two cookies with one name. What has no ``=`` is passed over.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    cookies: dict[str, str] = {}
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        name = name.strip(" \t")
        if equals and name:
            cookies.setdefault(name, value.strip(" \t"))
    return cookies


def set_cookie_pairs(set_cookies: Iterable[str]) -> dict[str, str]:
    """Read ``Set-Cookie`` lines, attributes left out.

    :param set_cookies: the lines' values. None is split at a comma: dates hold one.
    :returns: name to raw value; the last of two with one name, as a browser keeps it.
    """
    found: dict[str, str] = {}
    for line in set_cookies:
        name, equals, value = line.partition(";")[0].partition("=")
        if equals and name.strip(" \t"):
            found[name.strip(" \t")] = value.strip(" \t")
    return found


def render(cookies: Iterable[RoutingCookie]) -> str:
    """Write the value of a ``Cookie`` header; empty for no cookies."""
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


def safe_to_send(cookies: Iterable[RoutingCookie]) -> bool:
    """Whether these cookies can be sent without changing a request's meaning.

    They must be ASCII without control characters and ``;``, 4 KiB in all.
    """
    sent = list(cookies)
    valid = all(_NAME.fullmatch(cookie.name) and _VALUE.fullmatch(cookie.value) for cookie in sent)
    return valid and len(render(sent)) <= MAX_SENT_BYTES


@lru_cache(maxsize=512)
def _compiled(name: str) -> re.Pattern[str] | None:
    """The expression within ``/.../``; None for a plain name."""
    form = _PATTERN.fullmatch(name)
    return re.compile(form[1]) if form else None


def is_pattern(name: str) -> bool:
    """Whether a configured name is a ``/pattern/``.

    :raises ValueError: where it is one that cannot be used.
    """
    try:
        return _compiled(name) is not None
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def names_match(names: Iterable[str], name: str) -> bool:
    """Whether a cookie's name is one of the configured names, or has a part that one of the patterns fits.

    Names are compared with case, as HAProxy, Apache and the browsers do.
    """
    for wanted in names:
        pattern = _compiled(wanted)
        if wanted == name if pattern is None else pattern.search(name):
            return True
    return False

"""The fetch URL that carries cookies: ``URL#CTFetchCookies=`` + encodeURIComponent of ``a=1;b=2;``.

Where the URL has a fragment already, ``&`` joins. Nothing is cut. So that names and values come back exactly, a
``%`` and a ``;`` in either, and a ``=`` in a name, are percent-encoded before the pairs are joined; values without
them look as they always did. ``recorder.js`` writes such URLs in the browser; :func:`encode_fetch_url` is the same in
Python, for programs that make them without a browser, and the tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

COOKIES_PARAMETER = "CTFetchCookies="
#: Another switch that may follow: fetch with the visitor's own User-Agent.
USER_AGENT_PARAMETER = "CTFetchUserAgent="

# The characters that encodeURIComponent does not encode, beside letters and digits (ECMA-262, section 19.2.6.5).
_URI_COMPONENT = "-_.!~*'()"
_SPECIAL_IN_NAME = re.compile(r"[%;=]")
_SPECIAL_IN_VALUE = re.compile(r"[%;]")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)


def encode_fetch_url(url: str, cookies: Iterable[tuple[str, str]]) -> str:
    """Put cookies into a URL's fragment.

    :raises ValueError: where a name or value holds half a surrogate pair.
    """
    pairs = "".join(
        f"{_SPECIAL_IN_NAME.sub(_escaped, name)}={_SPECIAL_IN_VALUE.sub(_escaped, value)};" for name, value in cookies
    )
    separator = "&" if "#" in url else "#"
    try:
        return f"{url}{separator}{COOKIES_PARAMETER}{quote(pairs, safe=_URI_COMPONENT)}"
    except UnicodeEncodeError:
        raise ValueError("a cookie holds half a surrogate pair") from None


def decode_fetch_url(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Take the cookies out of a URL's fragment again, in their order.

    :returns: the URL without the cookies, and the pairs; no pairs if it has no cookies.
    :raises ValueError: if the cookies cannot be parsed; the message does not contain them.
    """
    fragment_start = text.find("#")
    if fragment_start < 0:
        return text, ()
    end = len(text)
    start = _last_parameter_start(text, fragment_start, end)
    while text.startswith(USER_AGENT_PARAMETER, start) and start - 1 > fragment_start:
        end = start - 1
        start = _last_parameter_start(text, fragment_start, end)
    if not text.startswith(COOKIES_PARAMETER, start):
        return text, ()
    return text[: start - 1], _pairs(_unquoted(text[start + len(COOKIES_PARAMETER) : end]))


def _last_parameter_start(text: str, fragment_start: int, end: int) -> int:
    return max(fragment_start, text.rfind("&", fragment_start, end)) + 1


def _pairs(joined: str) -> tuple[tuple[str, str], ...]:
    if not joined:
        return ()
    *members, rest = joined.split(";")
    if rest:
        # The older format was cut anywhere; a pair without its end may be half a pair.
        raise ValueError("the last cookie has no end")
    found = []
    for member in members:
        name, equals, value = member.partition("=")
        if not equals:
            raise ValueError("a cookie without an equals sign")
        found.append((_unescaped(name), _unescaped(value)))
    return tuple(found)


def _unquoted(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError("a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError("the cookies are not UTF-8") from None


def _unescaped(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError("a percent sign that encodes nothing")
    return _ENCODED.sub(lambda found: chr(int(found.group(1), 16)), text)


def _escaped(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"

"""Parsing of field lines in one pass (RFC 9112 section 5).

Every line is checked, the fields that the proxy uses are indexed, and the lines to forward stay one block of bytes. The
compiled reader (``_lines.c``) does the same for heads in the usual form. This module parses the heads that the compiled
reader does not accept, and all heads if it was not built.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Final

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.http1.fragment_fields import FRAGMENT_FIELDS
from lbcompanion.protocol import headers

#: The result of :func:`read_lines`: the lines to forward, each with its line end; the values of the indexed fields, by
#: name in lower case; flags; and the number of lines.
Lines = tuple[bytes, dict[bytes, bytes], int, int]

# Flags: which kinds of fields are present, so that one test of an integer replaces several dictionary look-ups.
#: A field that is allowed once occurs twice.
DUPLICATE: Final = 1
#: ``Content-Length`` or ``Transfer-Encoding``.
HAS_FRAMING: Final = 2
#: ``Connection``, in a request more than ``keep-alive``.
CONNECTION: Final = 4
UPGRADE: Final = 8
EXPECT: Final = 16
#: ``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Port``, ``Forwarded``.
FORWARDED: Final = 32
#: Fields that distinguish a fragment, a prefetch or a download from a page.
FRAGMENT_HINT: Final = 64
#: ``If-None-Match``, ``If-Match``, ``If-Modified-Since``.
CONDITIONAL: Final = 128
#: ``Lbc-Capture``.
CAPTURE_REQUESTED: Final = 256
#: Fields that are wrong after a change of the body: digests, ``Accept-Ranges``, the validators.
BODY_DEPENDENT: Final = 512
#: ``Content-Security-Policy``.
HAS_CSP: Final = 1024
#: ``Content-Encoding``.
HAS_CODING: Final = 2048
#: Fields that may authenticate a connection: ``Authorization`` of a request, ``WWW-Authenticate`` and
#: ``Persistent-Auth`` of a response.
AUTHENTICATION: Final = 1 << 20
#: ``Lbc-Forwarded-By``.
FORWARDED_BY: Final = 1 << 21
#: ``Date``.
HAS_DATE: Final = 1 << 22
#: ``Range``, ``If-Range``.
RANGE: Final = 4096

# Not forwarded: hop-by-hop fields, and fields that the proxy generates itself (framing, X-Forwarded-*).
_NOT_FORWARDED: Final = 1 << 30
# A singleton field (RFC 9110 section 5.5).
_SINGLETON: Final = 1 << 29
# Its other spellings are not forwarded: names that have other marks in the places of the hyphens, such as
# X_Forwarded_For. CGI, WSGI and Rack give an application both names as one, some servers for every mark, so a visitor's
# field could replace the companion's. Puma before 6.4.3 and Unicorn frame a body by Content_Length.
_ONE_SPELLING: Final = 1 << 28

_HOP_BY_HOP = {
    b"connection": CONNECTION | _NOT_FORWARDED,
    b"keep-alive": _NOT_FORWARDED,
    b"proxy-connection": _NOT_FORWARDED,
    b"proxy-authenticate": _NOT_FORWARDED,
    b"proxy-authorization": _NOT_FORWARDED,
    b"te": _NOT_FORWARDED,
    b"transfer-encoding": HAS_FRAMING | _NOT_FORWARDED | _SINGLETON,
    b"upgrade": UPGRADE | _NOT_FORWARDED,
}
#: RFC 9110 section 7.6.1, with the two old names; ``te`` goes too: trailers are offered for neither side.
HOP_BY_HOP = frozenset(_HOP_BY_HOP)


_COMMON_FIELDS = {**_HOP_BY_HOP, b"content-length": HAS_FRAMING | _NOT_FORWARDED | _SINGLETON}
_REQUEST_FIELDS: dict[bytes, int] = {
    **_COMMON_FIELDS,
    b"host": _SINGLETON,
    b"cookie": 0,
    b"accept-encoding": 0,
    b"cache-control": 0,
    b"expect": EXPECT,
    b"authorization": AUTHENTICATION,
    b"x-forwarded-for": FORWARDED | _NOT_FORWARDED,
    b"x-forwarded-proto": FORWARDED | _NOT_FORWARDED,
    b"x-forwarded-host": FORWARDED | _NOT_FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"forwarded": FORWARDED,
    b"sec-fetch-dest": _SINGLETON,
    b"sec-fetch-mode": _SINGLETON,
    b"upgrade-insecure-requests": 0,
    b"surrogate-capability": FRAGMENT_HINT,
    b"x-requested-with": FRAGMENT_HINT,
    **dict.fromkeys(FRAGMENT_FIELDS, FRAGMENT_HINT),
    b"sec-purpose": FRAGMENT_HINT,
    b"purpose": FRAGMENT_HINT,
    b"x-purpose": FRAGMENT_HINT,
    b"x-moz": FRAGMENT_HINT,
    b"if-none-match": CONDITIONAL,
    b"if-match": CONDITIONAL,
    b"if-modified-since": CONDITIONAL,
    b"range": RANGE,
    b"if-range": RANGE,
    headers.CAPTURE.key: CAPTURE_REQUESTED,
    headers.FORWARDED_BY.key: FORWARDED_BY | _NOT_FORWARDED,
}
#: The indexed fields of a request, with their flags.
REQUEST_FIELDS: dict[bytes, int] = {
    # The companion writes these itself, or believes them if a trusted proxy sent them.
    name: flags | (_ONE_SPELLING if flags & (_NOT_FORWARDED | FORWARDED) else 0)
    for name, flags in _REQUEST_FIELDS.items()
}
#: The indexed fields of a response, with their flags.
RESPONSE_FIELDS: dict[bytes, int] = {
    **_COMMON_FIELDS,
    b"content-type": _SINGLETON,
    b"content-encoding": HAS_CODING,
    b"content-disposition": FRAGMENT_HINT,
    b"cache-control": 0,
    b"content-security-policy": HAS_CSP,
    b"etag": BODY_DEPENDENT | _SINGLETON,
    b"content-md5": BODY_DEPENDENT,
    b"digest": BODY_DEPENDENT,
    b"content-digest": BODY_DEPENDENT,
    b"repr-digest": BODY_DEPENDENT,
    b"accept-ranges": BODY_DEPENDENT,
    b"date": HAS_DATE,
    b"www-authenticate": AUTHENTICATION,
    b"persistent-auth": AUTHENTICATION,
    b"last-modified": BODY_DEPENDENT,
}

_MARKS = re.compile(rb"[^0-9a-z]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_SPACED_LINE = re.compile(
    rb"(?!(?:content-length|transfer-encoding|connection)[ \t])"
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:[ \t]*([\t\x20-\x7e\x80-\xff]*)",
    re.IGNORECASE,
)
# The bytes allowed in a head beside its line ends: no control characters (RFC 9110 section 5.5).
ALLOWED_BYTES = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
# Cache from spellings of names to lower-case names and flags. It is bounded, because the peer chooses the names.
_MAX_CACHED_NAMES = 4096
# In place of the flags of a field that is not indexed: it is forwarded, or it is another spelling, which is not. The
# flags of an indexed field are never negative.
_NOT_INDEXED: Final = -1
_OTHER_SPELLING: Final = -2

_NameCache = BoundedCache[bytes, tuple[bytes, int]]


def _all_spellings(table: dict[bytes, int]) -> _NameCache:
    cache: _NameCache = BoundedCache(max_entries=_MAX_CACHED_NAMES, max_key_bytes=128)
    for name, flags in table.items():
        for spelling in (name, name.title(), name.upper()):
            cache.put(spelling, (name, flags))
    return cache


_REQUEST_NAMES = _all_spellings(REQUEST_FIELDS)
_RESPONSE_NAMES = _all_spellings(RESPONSE_FIELDS)


def _cache_name(spelling: bytes, table: dict[bytes, int], cache: _NameCache) -> tuple[bytes, int] | None:
    """Cache a new spelling of a field name; None if it is not a valid name."""
    if not _TOKEN.fullmatch(spelling):
        return None
    name = spelling.lower()
    flags = table.get(name, _NOT_INDEXED)
    if flags == _NOT_INDEXED and table.get(_MARKS.sub(b"-", name), 0) & _ONE_SPELLING:
        flags = _OTHER_SPELLING
    return cache.put(spelling, (name, flags))


def _has_space_around(line: bytes) -> bool:
    value = line.partition(b": ")[2]
    return value.strip(b" \t") != value


def compiled() -> ModuleType | None:
    """The compiled reader, or None if it was not built."""
    try:
        from lbcompanion.http1 import _lines  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    _lines.setup(REQUEST_FIELDS, RESPONSE_FIELDS)
    return _lines


def read_lines(raw: bytes, start: int, *, response: bool) -> Lines | None:
    """Parse the field lines of a head, if each has the form ``Name: value``.

    :param raw: the complete head with its empty line, without control characters other than line ends.
    :param start: the offset of the first field line.
    :returns: None if a line has another form; the caller may try :func:`normalised`.
    """
    table, cache = (RESPONSE_FIELDS, _RESPONSE_NAMES) if response else (REQUEST_FIELDS, _REQUEST_NAMES)
    lines = raw[start:-4].split(b"\r\n") if len(raw) - start > 2 else []
    if (b":  " in raw or b"\t" in raw or raw.find(b" \r\n", start) >= 0) and any(map(_has_space_around, lines)):
        return None
    values: dict[bytes, bytes] = {}
    flags = 0
    not_forwarded: list[int] = []
    for number, line in enumerate(lines):
        spelling, colon, value = line.partition(b": ")
        found = cache.get(spelling)
        if found is None:
            found = _cache_name(spelling, table, cache) if colon else None
            if found is None:
                return None
        name, line_flags = found
        if line_flags == _NOT_INDEXED:
            if not colon:
                return None
            continue
        if not colon:
            return None
        if line_flags == _OTHER_SPELLING:
            not_forwarded.append(number)
            continue
        if line_flags & _NOT_FORWARDED:
            not_forwarded.append(number)
        if name in values:
            flags |= line_flags | (DUPLICATE if line_flags & _SINGLETON else 0)
            values[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            flags |= line_flags
            values[name] = value
    for number in reversed(not_forwarded):
        del lines[number]
    forwardable = b"\r\n".join(lines) + b"\r\n" if lines else b""
    return forwardable, values, flags & 0xFFFFFFF, len(lines) + len(not_forwarded)


def normalised(raw: bytes, start: int, *, response: bool = False) -> bytes | None:
    """The head with each line in the form ``Name: value``, without white space around the value.

    :param response: white space between name and colon is removed, as RFC 9112 section 5.1 asks of proxies; but not
        from fields that frame the message, because others may read those differently.
    :returns: None if a line is not a field or is folded (RFC 9112 section 5.2).
    """
    lines = [raw[:start]]
    for line in raw[start:-4].split(b"\r\n"):
        found = _LINE.fullmatch(line)
        if found is None and response:
            found = _SPACED_LINE.fullmatch(line)
        if found is None:
            return None
        lines.append(b"%b: %b\r\n" % (found[1], found[2].rstrip(b" \t")))
    lines.append(b"\r\n")
    return b"".join(lines)

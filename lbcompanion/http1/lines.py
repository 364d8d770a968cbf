"""Field lines, read in one pass (RFC 9112 section 5).

A head is read once: every line is checked, the fields that somebody in here asks for are set aside, and what goes on to
the other side stays one piece of bytes. Where the compiled reader was built (``_lines.c``), it does the same work for
heads in the usual form; what it does not take, and everything where it is not there, is read here.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Final

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.protocol import headers

#: What :func:`read_lines` gives: the lines that go on, each with its line end; the values of the fields that are asked
#: for, by name in lower case; marks; and the number of lines.
Lines = tuple[bytes, dict[bytes, bytes], int, int]

# Marks: which kinds of fields are there, so that one look at a number tells that none of them is.
#: A field that must stand once stands twice.
DOUBLED: Final = 1
#: ``Content-Length`` or ``Transfer-Encoding``.
FRAMED: Final = 2
#: ``Connection``, in a request more than ``keep-alive``.
CONNECTION: Final = 4
UPGRADE: Final = 8
EXPECT: Final = 16
#: ``X-Forwarded-For``, ``-Proto``, ``-Host``.
FORWARDED: Final = 32
#: What tells a part of a page, a prefetch, or a download from a page.
PARTIAL: Final = 64
#: ``If-None-Match``, ``If-Match``.
CONDITION: Final = 128
#: ``Lbc-Capture``.
ASKED: Final = 256
#: What a changed body makes untrue: digests, ``Accept-Ranges``; and the entity tag.
OF_BODY: Final = 512
#: ``Content-Security-Policy``.
POLICY: Final = 1024
#: ``Content-Encoding``.
CODED: Final = 2048

# Does not go on: it ends at this hop, or is written anew (framing, and what a proxy says of the request).
_OUT: Final = 1 << 30
# Stands once (RFC 9110 section 5.3): the last mark says so.
_ONCE: Final = 1 << 29

_HOP_BY_HOP = {
    b"connection": CONNECTION | _OUT,
    b"keep-alive": _OUT,
    b"proxy-connection": _OUT,
    b"proxy-authenticate": _OUT,
    b"proxy-authorization": _OUT,
    b"te": _OUT,
    b"transfer-encoding": FRAMED | _OUT | _ONCE,
    b"upgrade": UPGRADE | _OUT,
}
#: RFC 9110 section 7.6.1, with the two old names; ``te`` goes too: trailers are offered for neither side.
HOP_BY_HOP = frozenset(_HOP_BY_HOP)
_OF_BOTH = {**_HOP_BY_HOP, b"content-length": FRAMED | _OUT | _ONCE}
#: Of a request: the fields set aside, with their marks.
OF_REQUEST: dict[bytes, int] = {
    **_OF_BOTH,
    b"host": _ONCE,
    b"cookie": 0,
    b"accept-encoding": 0,
    b"cache-control": 0,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED | _OUT,
    b"x-forwarded-proto": FORWARDED | _OUT,
    b"x-forwarded-host": FORWARDED | _OUT,
    b"sec-fetch-dest": _ONCE,
    b"sec-fetch-mode": _ONCE,
    b"x-requested-with": PARTIAL,
    b"hx-request": PARTIAL,
    b"turbo-frame": PARTIAL,
    b"x-pjax": PARTIAL,
    b"sec-purpose": PARTIAL,
    b"purpose": PARTIAL,
    b"x-purpose": PARTIAL,
    b"x-moz": PARTIAL,
    b"if-none-match": CONDITION,
    b"if-match": CONDITION,
    headers.CAPTURE.key: ASKED,
}
#: Of a response: the same.
OF_RESPONSE: dict[bytes, int] = {
    **_OF_BOTH,
    b"content-type": _ONCE,
    b"content-encoding": CODED,
    b"content-disposition": PARTIAL,
    b"cache-control": 0,
    b"content-security-policy": POLICY,
    b"etag": OF_BODY | _ONCE,
    b"content-md5": OF_BODY,
    b"digest": OF_BODY,
    b"content-digest": OF_BODY,
    b"repr-digest": OF_BODY,
    b"accept-ranges": OF_BODY,
}

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
# What a head may hold beside its line ends: no control byte (RFC 9110 section 5.5).
CLEAN = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
# Names as they were written, with their marks; -1 for those that nobody asks for.
_MOST_NAMES = 4096
_PLAIN: Final = -1

_Known = BoundedCache[bytes, tuple[bytes, int]]


def _known(table: dict[bytes, int]) -> _Known:
    known: _Known = BoundedCache(max_entries=_MOST_NAMES, max_key_bytes=128)
    for name, marks in table.items():
        for written in (name, name.title(), name.upper()):
            known.put(written, (name, marks))
    return known


_REQUEST_NAMES = _known(OF_REQUEST)
_RESPONSE_NAMES = _known(OF_RESPONSE)


def _learn(written: bytes, table: dict[bytes, int], known: _Known) -> tuple[bytes, int] | None:
    """A name that was not written so before; None where it is none."""
    if not _TOKEN.fullmatch(written):
        return None
    name = written.lower()
    return known.put(written, (name, table.get(name, _PLAIN)))


def _has_space_around(line: bytes) -> bool:
    value = line.partition(b": ")[2]
    return value.strip(b" \t") != value


def compiled() -> ModuleType | None:
    """The compiled reader, None where it was not built."""
    try:
        from lbcompanion.http1 import _lines  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    _lines.setup(OF_REQUEST, OF_RESPONSE)
    return _lines


def read_lines(raw: bytes, at: int, response: bool) -> Lines | None:
    """Read a head's field lines, where each is written ``Name: value``.

    :param raw: the whole head with its empty line, without any control byte but its line ends.
    :param at: where the first field line begins.
    :returns: None where a line is written otherwise: :func:`usual_form` may help then.
    """
    table, known = (OF_RESPONSE, _RESPONSE_NAMES) if response else (OF_REQUEST, _REQUEST_NAMES)
    lines = raw[at:-4].split(b"\r\n") if len(raw) - at > 2 else []
    if (b":  " in raw or b"\t" in raw or raw.find(b" \r\n", at) >= 0) and any(map(_has_space_around, lines)):
        return None
    seen: dict[bytes, bytes] = {}
    marks = 0
    out: list[int] = []
    for number, line in enumerate(lines):
        written, colon, value = line.partition(b": ")
        found = known.get(written)
        if found is None:
            found = _learn(written, table, known) if colon else None
            if found is None:
                return None
        name, its = found
        if its == _PLAIN:
            if not colon:
                return None
            continue
        if not colon:
            return None
        if its & _OUT:
            out.append(number)
        if name in seen:
            marks |= its | (DOUBLED if its & _ONCE else 0)
            seen[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            marks |= its
            seen[name] = value
    for number in reversed(out):
        del lines[number]
    kept = b"\r\n".join(lines) + b"\r\n" if lines else b""
    return kept, seen, marks & 0xFFFFFFF, len(lines) + len(out)


def usual_form(raw: bytes, at: int) -> bytes | None:
    """The same head with each line written ``Name: value``, no white space around the value; None where a line is no
    field, or is folded (RFC 9112 section 5.2)."""
    written = [raw[:at]]
    for line in raw[at:-4].split(b"\r\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        written.append(b"%b: %b\r\n" % (found[1], found[2].rstrip(b" \t")))
    written.append(b"\r\n")
    return b"".join(written)

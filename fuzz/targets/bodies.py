"""Chunked bodies, read by us at two cuts and by h11.

An input is a few bytes that say where it is cut, and a body. Broken is: whatever raises but a refusal; another outcome
at another cut; a body that we read to its end and h11 does not, or otherwise, but for :data:`LOOSER`; one that h11
reads to its end and we refuse, for none of the reasons in :data:`STRICTER`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from random import Random
from typing import Any

from fuzz import h11_reading
from fuzz.target import Target
from lbcompanion.errors import BadRequest, BadResponse, ProtocolError
from lbcompanion.http1.framing import ChunkedReader
from tests.support.http1_samples import BROKEN

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHOICES = 5
_WORDS = (
    b'0 3 00 a A 10 ff fffffffffffffff 10000000000000003 ; ;x ;x=y;z="q r" x-a: b abc -1 +1 0x3 _ , content-length: 3'
)
TOKENS: tuple[bytes, ...] = (
    *_WORDS.split(),
    *(b"\r\n", b"\r\n", b"\r\n", b"0\r\n\r\n", b"0\r\n", b"3\r\nabc\r\n", b"X-A: b\r\n", b"\r", b"\n", b"\r\n\r\n"),
    *(b" ", b"\t", b"\0", b"\x7f", b"\xff", b"\r\n ", b"a" * 900, b"0" * 900, b"X-A: " + b"b" * 5000 + b"\r\n"),
)

#: Why we may refuse what h11 reads to its end.
STRICTER: dict[str, Callable[[bytes], object]] = {
    "a bare CR": lambda body: re.search(rb"\r(?!\n)", body),
    "a bare LF": lambda body: re.search(rb"(?<!\r)\n", body),
    "a folded trailer": lambda body: re.search(rb"\n[ \t]", body),
    "white space behind a size": lambda body: re.search(rb"(?m)^[0-9A-Fa-f]+[ \t]+\r$", body),
    "a size of more than 15 digits": lambda body: re.search(rb"(?m)^[0-9A-Fa-f]{16,}", body),
    "a size line of more than 1024 bytes": lambda body: re.search(rb"(?m)^[0-9A-Fa-f]+;[^\n]{1000,}", body),
    "trailers of more than 16 KiB": lambda body: len(body) > 16384,
    "control bytes": lambda body: re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", body),
}
#: What h11 refuses and we read: RFC 9112 section 7.1.1 allows white space before an extension's semicolon; h11 looks
#: at trailers about framing as if they were header fields.
LOOSER = re.compile(rb"(?im)^([0-9A-F]+[ \t]+;|0+(;[^\n]*)?\r\n([^\r\n]+\r\n)*?(content-length|transfer-encoding):)")
#: What is refused in requests only: white space before the colon of a trailer (RFC 9112 section 5.1).
_SPACED = re.compile(rb"\n[^\s:]+[ \t]+:")


def reason(body: bytes) -> str:
    """Why we may refuse a body that h11 reads to its end; empty: for no reason."""
    return next((name for name, rule in STRICTER.items() if rule(body)), "")


def _read(pieces: Sequence[bytes], error: type[ProtocolError]) -> tuple[Any, ...]:
    """Body, rest and trailers; or what came before the refusal, or before it was all."""
    reader = ChunkedReader(error)
    body, rest = [], b""
    for piece in pieces:
        if reader.done:
            rest += piece
            continue
        try:
            found, rest = reader.feed(piece)
        except error:
            return ("refused",)
        assert reader.done or not rest
        body.append(found)
    state = "done" if reader.done else "more"
    return state, b"".join(body), rest, reader.trailers


def check(data: bytes) -> Hashable:
    """See :class:`fuzz.target.Target`."""
    choices, written = data[:CHOICES], data[CHOICES:]
    places = sorted({place * len(written) // 256 for place in choices if place})
    edges = sorted({0, *places, len(written)})
    pieces = [written[start:end] for start, end in pairwise(edges)]
    ours = _read([written] if written else [], BadRequest)
    assert _read(pieces, BadRequest) == ours, "another cut"
    assert _read(pieces, BadResponse) == ours or _SPACED.search(written), "a response"
    theirs = h11_reading.requests(HEAD + written)
    if ours[0] == "done":
        _, body, rest, written_so = ours
        trailers = [(name.lower(), value) for name, value in written_so]
        if not theirs.messages:
            assert LOOSER.search(written), theirs.refused
            return "looser"
        message = theirs.messages[0]
        assert message.body == body
        # Fewer: those that may be no trailers are left out by the reader.
        assert [field for field in message.trailers if field in trailers] == trailers
        if len(theirs.messages) == 1:
            while rest.startswith(b"\r\n"):
                rest = rest[2:]
            assert theirs.rest == rest
        return "done", len(trailers), bool(rest), min(9, written.count(b"\n"))
    if ours[0] == "refused" and theirs.messages:
        used = written[: len(written) - len(theirs.rest)] if len(theirs.messages) == 1 else written
        found = reason(used)
        assert found, "h11 reads it to its end, we refuse"
        return "refused", found
    assert not (ours[0] == "more" and theirs.messages), "h11 has seen the end, we wait for more"
    return ours[0], theirs.refused[:30], min(9, written.count(b"\n"))


def _seeds(random: Random) -> Sequence[bytes]:
    bodies = [
        *BROKEN.values(),
        b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b'0000a;name=value;other="a b"\r\n0123456789\r\n0;x\r\n\r\n',
        b"3 \t;x\r\nabc\r\n000\r\nX-A:  b \r\nX-B:\r\n\r\n",
        b"3\r\n\r\n0\r\n0\r\n\r\n",
    ]
    return [random.randbytes(CHOICES) + body for body in bodies]


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=CHOICES, max_bytes=24576)

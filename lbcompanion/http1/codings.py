"""Content codings: undone and done again, step by step or whole, bounded (RFC 9110 section 8.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator

from lbcompanion.http1.decoders import CodingError, Inflater, Reader, Unbrotli, Unzstd
from lbcompanion.http1.encoders import Brotli, Deflater, Writer, Zstd, whole_brotli, whole_deflate, whole_zstd

__all__ = [
    "DECODABLE",
    "CodingError",
    "Decoder",
    "Encoder",
    "TooLarge",
    "coding_of",
    "decode_whole",
    "encode_whole",
    "offer",
]

_READERS: dict[bytes, Callable[[], Reader]] = {
    b"gzip": lambda: Inflater(gzip=True),
    b"x-gzip": lambda: Inflater(gzip=True),
    b"deflate": lambda: Inflater(gzip=False),
    b"br": Unbrotli,
    b"zstd": Unzstd,
}
_WRITERS: dict[bytes, Callable[[], Writer]] = {
    b"gzip": lambda: Deflater(gzip=True),
    b"x-gzip": lambda: Deflater(gzip=True),
    b"deflate": lambda: Deflater(gzip=False),
    b"br": Brotli,
    b"zstd": Zstd,
}
_WHOLE: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": lambda data: whole_deflate(True, data),
    b"x-gzip": lambda data: whole_deflate(True, data),
    b"deflate": lambda data: whole_deflate(False, data),
    b"br": whole_brotli,
    b"zstd": whole_zstd,
}

#: What may be offered to the application, since both directions are spoken here.
DECODABLE = frozenset(_READERS)

# What stands for any coding is offered as these; x-gzip is gzip's old name.
_ANY = (b"gzip", b"deflate", b"br", b"zstd")
_PLAIN = frozenset({b"", b"identity", b"none"})
# Browsers write some 30 bytes. What is longer by far is not read: the visitor chooses how much work it would be.
_LONGEST_ACCEPT = 1024
# ``*`` with a weight, some white space included; its weight is written four times.
_LONGEST_ANY = 32
# RFC 9110 section 12.4.2: a weight of 0 is "not acceptable".
_REFUSED = re.compile(rb";[ \t]*q=0(?:\.0*)?[ \t]*$", re.IGNORECASE)


class TooLarge(CodingError):
    """A coded body that grows beyond the limit it was given."""


class Decoder:
    """Undoes one coding: all members of a gzip stream, both readings of ``deflate``, all frames of zstd.

    :param coding: one of :data:`DECODABLE`.
    :ivar taken: coded bytes so far.
    :ivar given: decoded bytes so far; the caller judges their proportion and stops what it needs to stop.
    """

    __slots__ = ("_reader", "given", "taken")

    def __init__(self, coding: bytes) -> None:
        self._reader = _READERS[coding]()
        self.taken = 0
        self.given = 0

    def steps(self, data: bytes) -> Iterator[bytes]:
        """Decode what can be decoded by now, in pieces of at most 256 KiB.

        :raises CodingError: where the input is broken.
        """
        self.taken += len(data)
        for piece in self._reader.steps(data):
            self.given += len(piece)
            yield piece

    def finish(self) -> None:
        """The input is at its end.

        :raises CodingError: where the coded stream is not.
        """
        self._reader.finish()


class Encoder:
    """Applies one coding anew, flushed at each step so that a page flows on as it came.

    :param coding: one of :data:`DECODABLE`.
    """

    __slots__ = ("_writer",)

    def __init__(self, coding: bytes) -> None:
        self._writer = _WRITERS[coding]()

    def feed(self, data: bytes) -> bytes:
        """Encode and flush; nothing for nothing."""
        return self._writer.feed(data)

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        return self._writer.finish(data)


def decode_whole(coding: bytes, data: bytes, limit_bytes: int) -> bytes:
    """Undo the coding of a body that is there in one piece.

    :param coding: one of :data:`DECODABLE`.
    :param limit_bytes: what the decoded body may have at most; up to 256 KiB more are decoded before that is known.
    :raises TooLarge: where it has more.
    :raises CodingError: where it is broken or cut short.
    """
    reader = _READERS[coding]()
    pieces = []
    left = limit_bytes
    for piece in reader.steps(data):
        left -= len(piece)
        if left < 0:
            raise TooLarge("grows beyond what a page may have")
        pieces.append(piece)
    reader.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def encode_whole(coding: bytes, data: bytes) -> bytes:
    """Apply a coding to a body that is there in one piece, for little more than the one call that it takes.

    :param coding: one of :data:`DECODABLE`.
    """
    return _WHOLE[coding](data)


def coding_of(values: Iterable[bytes]) -> bytes:
    """The coding that the values of ``Content-Encoding`` name, in lower case; empty for a plain body.

    Several are given as they stand, in one list: no member of :data:`DECODABLE`. ``none`` and ``identity`` are written
    by some applications and mean nothing.
    """
    named = [member.strip(b" \t").lower() for value in values for member in value.split(b",")]
    return b", ".join([member for member in named if member not in _PLAIN])


def offer(accept: bytes | None) -> bytes:
    """What to ask of the application for a visitor's ``Accept-Encoding``: the same, less what cannot be undone here.

    Members keep their weights, refusals (``q=0``) stay, and ``*`` becomes the codings spoken here that are not named
    beside it. Of members that name one coding the first counts. Dictionary codings (dcb, dcz) go: no dictionary is
    known here. The result is at most 128 bytes longer than the header.

    :returns: ``identity`` where nothing is left that asks for something, and for a header of more than 1,024 bytes.
    """
    if not accept or len(accept) > _LONGEST_ACCEPT:
        return b"identity"
    members: dict[bytes, bytes] = {}
    for member in accept.split(b","):
        members.setdefault(_named(member), member.strip(b" \t"))
    kept: list[bytes] = []
    asked = False
    for coding, member in members.items():
        refused = _REFUSED.search(member) is not None
        if coding == b"*" and not refused:
            more = _for_any(member, members)
        elif coding in DECODABLE or coding in {b"identity", b"*"}:
            more = [member]
        else:
            continue
        kept += more
        asked = asked or (bool(more) and not refused)
    return b", ".join(kept) if asked else b"identity"


def _named(member: bytes) -> bytes:
    return member.partition(b";")[0].strip(b" \t").lower()


def _for_any(member: bytes, members: Container[bytes]) -> list[bytes]:
    """What stands for ``*``, each with its weight; nothing for a weight that is longer than any valid one."""
    if len(member) > _LONGEST_ANY:
        return []
    weight = member[1:]
    return [coding + weight for coding in _ANY if coding not in members]

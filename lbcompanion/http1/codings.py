"""Content codings: undone and done again, step by step or whole, bounded (RFC 9110 section 8.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator

from lbcompanion.http1.decoders import BrotliDecoder, CodingError, DeflateDecoder, StreamDecoder, ZstdDecoder
from lbcompanion.http1.encoders import (
    BrotliEncoder,
    DeflateEncoder,
    StreamEncoder,
    ZstdEncoder,
    encode_brotli,
    encode_deflate,
    encode_zstd,
)

__all__ = [
    "DECODABLE",
    "CodingError",
    "Decoder",
    "Encoder",
    "TooLarge",
    "acceptable_codings",
    "content_coding",
    "decode_whole",
    "encode_whole",
]

_DECODERS: dict[bytes, Callable[[], StreamDecoder]] = {
    b"gzip": lambda: DeflateDecoder(gzip=True),
    b"x-gzip": lambda: DeflateDecoder(gzip=True),
    b"deflate": lambda: DeflateDecoder(gzip=False),
    b"br": BrotliDecoder,
    b"zstd": ZstdDecoder,
}
_ENCODERS: dict[bytes, Callable[[], StreamEncoder]] = {
    b"gzip": lambda: DeflateEncoder(gzip=True),
    b"x-gzip": lambda: DeflateEncoder(gzip=True),
    b"deflate": lambda: DeflateEncoder(gzip=False),
    b"br": BrotliEncoder,
    b"zstd": ZstdEncoder,
}
_WHOLE_ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": lambda data: encode_deflate(True, data),
    b"x-gzip": lambda data: encode_deflate(True, data),
    b"deflate": lambda data: encode_deflate(False, data),
    b"br": encode_brotli,
    b"zstd": encode_zstd,
}

#: What may be offered to the application, since both directions are spoken here.
DECODABLE = frozenset(_DECODERS)

# What stands for any coding is offered as these; x-gzip is gzip's old name.
_WILDCARD_CODINGS = (b"gzip", b"deflate", b"br", b"zstd")
_IDENTITY = frozenset({b"", b"identity", b"none"})
# Browsers write some 30 bytes. What is longer by far is not read: the visitor chooses how much work it would be.
_MAX_ACCEPT_BYTES = 1024
# ``*`` with a weight, some white space included; its weight is written four times.
_MAX_WILDCARD_BYTES = 32
# RFC 9110 section 12.4.2: a weight of 0 is "not acceptable".
_ZERO_WEIGHT = re.compile(rb";[ \t]*q=0(?:\.0*)?[ \t]*$", re.IGNORECASE)


class TooLarge(CodingError):
    """A coded body that grows beyond the limit it was given."""


class Decoder:
    """Undoes one coding: all members of a gzip stream, both readings of ``deflate``, all frames of zstd.

    :param coding: one of :data:`DECODABLE`.
    :ivar taken: coded bytes so far.
    :ivar given: decoded bytes so far; the caller judges their proportion and stops what it needs to stop.
    """

    __slots__ = ("_decoder", "bytes_in", "bytes_out")

    def __init__(self, coding: bytes) -> None:
        self._decoder = _DECODERS[coding]()
        self.bytes_in = 0
        self.bytes_out = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode what can be decoded by now, in pieces of at most 256 KiB.

        :raises CodingError: where the input is broken.
        """
        self.bytes_in += len(data)
        for piece in self._decoder.decode(data):
            self.bytes_out += len(piece)
            yield piece

    def finish(self) -> None:
        """The input is at its end.

        :raises CodingError: where the coded stream is not.
        """
        self._decoder.finish()


class Encoder:
    """Applies one coding anew, flushed at each step so that a page flows on as it came.

    :param coding: one of :data:`DECODABLE`.
    """

    __slots__ = ("_encoder",)

    def __init__(self, coding: bytes) -> None:
        self._encoder = _ENCODERS[coding]()

    def feed(self, data: bytes) -> bytes:
        """Encode and flush; nothing for nothing."""
        return self._encoder.feed(data)

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        return self._encoder.finish(data)


def decode_whole(coding: bytes, data: bytes, limit_bytes: int) -> bytes:
    """Undo the coding of a body that is there in one piece.

    :param coding: one of :data:`DECODABLE`.
    :param limit_bytes: what the decoded body may have at most; up to 256 KiB more are decoded before that is known.
    :raises TooLarge: where it has more.
    :raises CodingError: where it is broken or cut short.
    """
    decoder = _DECODERS[coding]()
    pieces = []
    remaining = limit_bytes
    for piece in decoder.decode(data):
        remaining -= len(piece)
        if remaining < 0:
            raise TooLarge("grows beyond what a page may have")
        pieces.append(piece)
    decoder.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def encode_whole(coding: bytes, data: bytes) -> bytes:
    """Apply a coding to a body that is there in one piece, for little more than the one call that it takes.

    :param coding: one of :data:`DECODABLE`.
    """
    return _WHOLE_ENCODERS[coding](data)


def content_coding(values: Iterable[bytes]) -> bytes:
    """The coding that the values of ``Content-Encoding`` name, in lower case; empty for a plain body.

    Several are given as they stand, in one list: no member of :data:`DECODABLE`. ``none`` and ``identity`` are written
    by some applications and mean nothing.
    """
    named = [member.strip(b" \t").lower() for value in values for member in value.split(b",")]
    return b", ".join([member for member in named if member not in _IDENTITY])


def acceptable_codings(accept: bytes | None) -> bytes:
    """What to ask of the application for a visitor's ``Accept-Encoding``: the same, less what cannot be undone here.

    Members keep their weights, refusals (``q=0``) stay, and ``*`` becomes the codings spoken here that are not named
    beside it. Of members that name one coding the first counts. Dictionary codings (dcb, dcz) go: no dictionary is
    known here. The result is at most 128 bytes longer than the header.

    :returns: ``identity`` where nothing is left that asks for something, and for a header of more than 1,024 bytes.
    """
    if not accept or len(accept) > _MAX_ACCEPT_BYTES:
        return b"identity"
    members: dict[bytes, bytes] = {}
    for member in accept.split(b","):
        members.setdefault(_coding_name(member), member.strip(b" \t"))
    acceptable: list[bytes] = []
    any_accepted = False
    for coding, member in members.items():
        rejected = _ZERO_WEIGHT.search(member) is not None
        if coding == b"*" and not rejected:
            accepted = _expand_wildcard(member, members)
        elif coding in DECODABLE or coding in {b"identity", b"*"}:
            accepted = [member]
        else:
            continue
        acceptable += accepted
        any_accepted = any_accepted or (bool(accepted) and not rejected)
    return b", ".join(acceptable) if any_accepted else b"identity"


def _coding_name(member: bytes) -> bytes:
    return member.partition(b";")[0].strip(b" \t").lower()


def _expand_wildcard(member: bytes, members: Container[bytes]) -> list[bytes]:
    """What stands for ``*``, each with its weight; nothing for a weight that is longer than any valid one."""
    if len(member) > _MAX_WILDCARD_BYTES:
        return []
    weight = member[1:]
    return [coding + weight for coding in _WILDCARD_CODINGS if coding not in members]

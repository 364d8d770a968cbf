"""Content codings: decoding and encoding of streams and complete bodies, with bounds (RFC 9110 section 8.4)."""

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
    b"gzip": lambda data: encode_deflate(data, gzip=True),
    b"x-gzip": lambda data: encode_deflate(data, gzip=True),
    b"deflate": lambda data: encode_deflate(data, gzip=False),
    b"br": encode_brotli,
    b"zstd": encode_zstd,
}

#: The codings that can be offered to the application: those that can be decoded and encoded here.
DECODABLE = frozenset(_DECODERS)

# ``*`` is expanded to these; x-gzip is an old name of gzip.
_WILDCARD_CODINGS = (b"gzip", b"deflate", b"br", b"zstd")
_IDENTITY = frozenset({b"", b"identity", b"none"})
# Some applications name the page's charset as its coding. Browsers ignore codings that they do not know.
_CHARSET = re.compile(
    rb"(?:x-)?(?:utf-?(?:7|8|16|32)(?:[bl]e)?|unicode(?:-1-1-utf-8)?|(?:us-)?ascii|(?:cs)?iso[-_]?[0-9]{4}[-_:a-z0-9]*"
    rb"|latin-?[0-9]{1,2}|(?:windows|cp|ibm)-?[0-9]{2,5}|koi8(?:-?[a-z]{1,2})?|(?:cs)?gb(?:2312|k|18030)|hz-gb-2312"
    rb"|(?:cn-)?big5(?:-hkscs)?|euc-?(?:jp|kr|cn|tw)|shift[-_]?jis|s?jis|ms_kanji|mac(?:intosh|-[a-z]+)|tis-620)"
)
# Browsers send about 30 bytes. Much longer headers are not parsed, because a client could make that expensive.
_MAX_ACCEPT_BYTES = 1024
# ``*`` with a weight and some white space; the weight is copied to four codings.
_MAX_WILDCARD_BYTES = 32
# RFC 9110 section 12.4.2: a weight of 0 is "not acceptable".
_ZERO_WEIGHT = re.compile(rb";[ \t]*q=0(?:\.0*)?[ \t]*$", re.IGNORECASE)


class TooLarge(CodingError):
    """A decoded body is larger than the limit."""


class Decoder:
    """Decodes one coding: all members of a gzip stream, zlib and raw ``deflate``, all frames of zstd.

    :param coding: one of :data:`DECODABLE`.
    :ivar bytes_in: encoded bytes read so far.
    :ivar bytes_out: decoded bytes returned so far; the caller limits the expansion ratio.
    """

    __slots__ = ("_decoder", "bytes_in", "bytes_out")

    def __init__(self, coding: bytes) -> None:
        self._decoder = _DECODERS[coding]()
        self.bytes_in = 0
        self.bytes_out = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the available input, in pieces of at most 256 KiB.

        :raises CodingError: if the input is corrupt.
        """
        self.bytes_in += len(data)
        for piece in self._decoder.decode(data):
            self.bytes_out += len(piece)
            yield piece

    def finish(self) -> None:
        """Check that the stream is complete at the end of the input.

        :raises CodingError: if it is truncated.
        """
        self._decoder.finish()


class Encoder:
    """Encodes with one coding and flushes after each piece, so that no page data is delayed.

    :param coding: one of :data:`DECODABLE`.
    """

    __slots__ = ("_encoder",)

    def __init__(self, coding: bytes) -> None:
        self._encoder = _ENCODERS[coding]()

    def feed(self, data: bytes) -> bytes:
        """Encode and flush. Empty input gives empty output."""
        return self._encoder.feed(data)

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        return self._encoder.finish(data)


def decode_whole(coding: bytes, data: bytes, limit_bytes: int) -> bytes:
    """Decode a complete body.

    :param coding: one of :data:`DECODABLE`.
    :param limit_bytes: the maximum size of the decoded body; up to 256 KiB more may be decoded before the check.
    :raises TooLarge: if the decoded body is larger.
    :raises CodingError: if the body is corrupt or truncated.
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
    """Encode a complete body, in one call of the library.

    :param coding: one of :data:`DECODABLE`.
    """
    return _WHOLE_ENCODERS[coding](data)


def content_coding(values: Iterable[bytes]) -> bytes:
    """The coding that the values of ``Content-Encoding`` name, in lower case; empty for a plain body.

    Several codings are returned as one comma-separated list, which is not a member of :data:`DECODABLE`. Some
    applications send ``none``, ``identity`` or the name of a charset; all mean no coding.
    """
    named = [member.strip(b" \t").lower() for value in values for member in value.split(b",")]
    return b", ".join([member for member in named if member not in _IDENTITY and not _CHARSET.fullmatch(member)])


def acceptable_codings(accept: bytes | None) -> bytes:
    """The ``Accept-Encoding`` for the application: the visitor's, without the codings that cannot be decoded here.

    Members keep their weights, including ``q=0``. ``*`` is replaced by the supported codings that are not listed
    explicitly. Of duplicate members the first one counts. Dictionary codings (dcb, dcz) are removed, because the
    companion has no dictionaries. The result is at most 128 bytes longer than the header.

    :returns: ``identity`` if no acceptable coding is left, or if the header has more than 1,024 bytes.
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
    """The codings that ``*`` stands for, with its weight; empty if the weight is longer than any valid one."""
    if len(member) > _MAX_WILDCARD_BYTES:
        return []
    weight = member[1:]
    return [coding + weight for coding in _WILDCARD_CODINGS if coding not in members]

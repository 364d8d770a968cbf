"""Where a body ends (RFC 9112 section 6), read one way only; readers that take any cut of the input.

A reader's ``feed`` gives the body bytes found and the bytes that do not belong to the body any more; ``done`` tells
whether the end was seen.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from lbcompanion.errors import BadRequest, BadResponse, ProtocolError
from lbcompanion.http1.field_lines import DUPLICATE, HAS_FRAMING
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.protocol import headers

_DIGITS = re.compile(rb"[0-9]{1,18}")
# RFC 9112 section 7.1.1; a chunk's extensions are read over, within reason, and never passed on.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
# What is between two chunks, as nearly everybody writes it.
_NEXT_CHUNK = re.compile(rb"\r\n([1-9A-Fa-f][0-9A-Fa-f]{0,14})\r\n").match
_MAX_SIZE_LINE = 1024
_MAX_TRAILER = 16384
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class BodyKind(Enum):
    """How a body's end is told."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


# RFC 9110 section 6.5.1: what would change how the message is read, routed, believed or handled is no trailer. An
# application may merge trailers into the fields, so such lines are left out rather than passed on.
_NO_TRAILER = re.compile(
    rb"(?:transfer-encoding|te|trailer|upgrade|connection|keep-alive|host|expect|range|max-forwards|pragma|cookie|date"
    rb"|set-cookie|location|retry-after|vary|warning|age|expires|etag|last-modified|forwarded|x-real-ip|authorization"
    rb"|www-authenticate|cache-control|content-(?!digest)[^:]*|proxy-[^:]*|x-forwarded[^:]*|if-[^:]*"
    rb"|" + headers.PREFIX + rb"[^:]*)",
    re.IGNORECASE,
)


class Framing(NamedTuple):
    """:ivar length: bytes, for ``LENGTH`` only."""

    kind: BodyKind
    length: int = 0


NO_BODY = Framing(BodyKind.NONE)
CHUNKED = Framing(BodyKind.CHUNKED)
UNTIL_CLOSE = Framing(BodyKind.UNTIL_CLOSE)


def _declared_framing(head: RequestHead | ResponseHead, error: type[ProtocolError]) -> Framing | None:
    """What Content-Length and Transfer-Encoding say, None where neither stands."""
    if not head.flags & HAS_FRAMING:
        return None
    if head.flags & DUPLICATE and (len(head.all(b"content-length")) > 1 or len(head.all(b"transfer-encoding")) > 1):
        raise _protocol_error(error, "Content-Length or Transfer-Encoding is doubled")
    length = head.values.get(b"content-length")
    coding = head.values.get(b"transfer-encoding")
    if coding is None:
        assert length is not None
        if not _DIGITS.fullmatch(length):
            raise _protocol_error(error, "Content-Length is no number")
        return Framing(BodyKind.LENGTH, int(length))
    if coding.lower() != b"chunked":
        raise _protocol_error(error, "Transfer-Encoding is not just chunked")
    if length is not None:
        raise _protocol_error(error, "Content-Length beside Transfer-Encoding")
    if head.version < 11:
        raise _protocol_error(error, "Transfer-Encoding in HTTP/1.0")
    return CHUNKED


def _protocol_error(error: type[ProtocolError], message: str) -> ProtocolError:
    return BadResponse(message) if error is BadResponse else BadRequest(400, message)


def request_framing(head: RequestHead) -> Framing:
    """How a request's body ends; a request that says nothing has none.

    :raises BadRequest: 400 where the head says it in more than one way.
    """
    declared = _declared_framing(head, BadRequest)
    return NO_BODY if declared is None or (declared.kind is BodyKind.LENGTH and not declared.length) else declared


def response_framing(head: ResponseHead, method: bytes) -> Framing:
    """How a response's body ends (RFC 9112 section 6.3).

    :param method: of the request that it answers.
    :raises BadResponse: where the head says it in more than one way.
    """
    declared = _declared_framing(head, BadResponse)
    if method == b"HEAD" or head.status < 200 or head.status in {204, 304}:
        return NO_BODY
    if declared is None:
        return UNTIL_CLOSE
    return declared


class LengthReader:
    """A body of a length known beforehand."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        self.remaining = length

    @property
    def done(self) -> bool:
        """Whether the body is whole."""
        return self.remaining == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take input; give the body bytes in it and what lies beyond the body."""
        size = len(data)
        if size <= self.remaining:
            self.remaining -= size
            return data, b""
        cut = self.remaining
        self.remaining = 0
        return data[:cut], data[cut:]


class UntilCloseReader:
    """A body that ends with the connection; ``done`` only after :meth:`end`."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """All input is body."""
        return data, b""

    def end(self) -> None:
        """The connection was closed in order."""
        self.done = True


class ChunkedReader:
    """A chunked body (RFC 9112 section 7.1), strict: CRLF only, no white space around sizes, sizes bounded.

    :ivar trailers: the trailer fields, once ``done``, as they were written; those left out that must not be trailers.
    """

    __slots__ = ("_buffer", "_error", "_remaining", "_state", "_trailer_bytes", "done", "trailers")

    _SIZE = 0
    _DATA = 1
    _DATA_END = 2
    _TRAILER = 3

    def __init__(self, error: type[ProtocolError] = BadRequest) -> None:
        self._error = error
        self._state = self._SIZE
        self._buffer = b""
        self._remaining = 0
        self._trailer_bytes = 0
        self.done = False
        self.trailers: list[Field] = []

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take input; give the body bytes in it, chunk lines taken off, and what lies beyond the body.

        :raises ProtocolError: of the class given, where the chunks break the grammar.
        """
        pieces, rest = self.feed_pieces(data)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces), rest

    def feed_pieces(self, data: bytes) -> tuple[list[bytes | memoryview], bytes]:
        """The same, with the body bytes left where they are: views of ``data``, chunk by chunk."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes | memoryview] = []
        position = 0
        end = len(data)
        view = memoryview(data)
        while position < end and not self.done:
            if self._state == self._DATA:
                position = self._read_data(data, view, position, pieces)
            elif self._state == self._DATA_END:
                if end - position < 2:
                    if data[position] != 13:
                        raise _protocol_error(self._error, "no line end after a chunk")
                    break
                if data[position : position + 2] != b"\r\n":
                    raise _protocol_error(self._error, "no line end after a chunk")
                position += 2
                self._state = self._SIZE
            else:
                line_end = self._find_line_end(data, position)
                if line_end < 0:
                    break
                self._read_line(data[position:line_end])
                position = line_end + 2
        rest = data[position:] if position < end else b""
        if self.done:
            return pieces, rest
        self._buffer = rest
        return pieces, b""

    def _read_data(self, data: bytes, view: memoryview, position: int, pieces: list[bytes | memoryview]) -> int:
        """Read on in a chunk, and in those behind it as long as they look as nearly all do; tells how far it came."""
        end = len(data)
        remaining = self._remaining
        while remaining <= end - position:
            pieces.append(view[position : position + remaining])
            position += remaining
            following = _NEXT_CHUNK(data, position)
            if following is None:
                self._remaining = 0
                self._state = self._DATA_END
                return position
            position = following.end()
            remaining = int(following[1], 16)
        if position < end:
            pieces.append(view[position:])
        self._remaining = remaining - (end - position)
        return end

    def _find_line_end(self, data: bytes, position: int) -> int:
        limit = _MAX_SIZE_LINE if self._state == self._SIZE else _MAX_TRAILER
        found = data.find(b"\n", position, position + limit + 2)
        if found < 0:
            if len(data) - position > limit:
                raise _protocol_error(self._error, "a chunk line or trailer is too long")
            return -1
        if found == position or data[found - 1] != 13:
            raise _protocol_error(self._error, "a bare LF among the chunks")
        return found - 1

    def _read_line(self, line: bytes) -> None:
        if self._state == self._SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if not match:
                raise _protocol_error(self._error, "a chunk size that is none")
            self._remaining = int(match[1], 16)
            self._state = self._DATA if self._remaining else self._TRAILER
            return
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        match = _TRAILER_LINE.fullmatch(line)
        if not match or self._trailer_bytes > _MAX_TRAILER:
            raise _protocol_error(self._error, "a trailer that is no field, or too many of them")
        if not _NO_TRAILER.fullmatch(match[1]):
            self.trailers.append((match[1], match[2].rstrip(b" \t")))


BodyReader = LengthReader | ChunkedReader | UntilCloseReader


def body_reader(framing: Framing, error: type[ProtocolError]) -> BodyReader:
    """The reader for a framing; for no body one that is done already."""
    if framing.kind is BodyKind.CHUNKED:
        return ChunkedReader(error)
    if framing.kind is BodyKind.UNTIL_CLOSE:
        return UntilCloseReader()
    return LengthReader(framing.length)


def chunk(data: bytes) -> bytes:
    """One chunk of ``data``; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: list[Field]) -> bytes:
    """The end of a chunked body."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"

"""Message body length (RFC 9112 section 6) and incremental body readers.

``feed`` of a reader returns the body bytes and the bytes after the end of the body; ``done`` is true after the end.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from attrs import define

from lbcompanion.errors import BadRequest, BadResponse, ProtocolError
from lbcompanion.http1.field_lines import DUPLICATE, HAS_FRAMING
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.protocol import headers

# Of Content-Length; RFC 9110 section 8.6 has no limit.
_MAX_DIGITS = 18
# RFC 9112 section 7.1.1; chunk extensions are bounded, ignored and never forwarded.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
# The common form of the bytes between two chunks.
_NEXT_CHUNK = re.compile(rb"\r\n([1-9A-Fa-f][0-9A-Fa-f]{0,14})\r\n").match
_MAX_SIZE_LINE = 1024
_MAX_TRAILER = 16384
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
# RFC 9112 section 5.1: a proxy removes white space before the colon from a response. Trailers that frame are dropped.
_RESPONSE_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class BodyKind(Enum):
    """How the end of a body is determined."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


# Access to a member of an Enum calls Python code up to Python 3.11, so the hot path uses these names.
NO_BODY_KIND: Final = BodyKind.NONE
LENGTH_KIND: Final = BodyKind.LENGTH
CHUNKED_KIND: Final = BodyKind.CHUNKED
UNTIL_CLOSE_KIND: Final = BodyKind.UNTIL_CLOSE

# RFC 9110 section 6.5.1: fields for framing, routing, authentication and request handling are not allowed in trailers.
# They are dropped, because an application may merge trailers into the header fields.
_NO_TRAILER = re.compile(
    rb"(?:transfer-encoding|te|trailer|upgrade|connection|keep-alive|host|expect|range|max-forwards|pragma|cookie|date"
    rb"|set-cookie|location|retry-after|vary|warning|age|expires|etag|last-modified|forwarded|x-real-ip|authorization"
    rb"|www-authenticate|cache-control|content-(?!digest)[^:]*|proxy-[^:]*|x-forwarded[^:]*|if-[^:]*"
    rb"|" + headers.PREFIX + rb"[^:]*)",
    re.IGNORECASE,
)


@define
class Framing:
    """The framing of one message. Not frozen, and no tuple: both take longer to make.

    :ivar length: bytes, for ``LENGTH`` only.
    """

    kind: BodyKind
    length: int = 0


NO_BODY = Framing(NO_BODY_KIND)
CHUNKED = Framing(CHUNKED_KIND)
UNTIL_CLOSE = Framing(UNTIL_CLOSE_KIND)


def _declared_framing(head: RequestHead | ResponseHead, error: type[ProtocolError]) -> Framing | None:
    """The framing that Content-Length or Transfer-Encoding declares; None if neither is present."""
    if not head.flags & HAS_FRAMING:
        return None
    if head.flags & DUPLICATE and (len(head.all(b"content-length")) > 1 or len(head.all(b"transfer-encoding")) > 1):
        raise _protocol_error(error, "more than one Content-Length or Transfer-Encoding line")
    length = head.values.get(b"content-length")
    coding = head.values.get(b"transfer-encoding")
    if coding is None:
        assert length is not None
        if not length.isdigit() or len(length) > _MAX_DIGITS:
            raise _protocol_error(error, "Content-Length is not a number")
        return Framing(LENGTH_KIND, int(length))
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
    """The framing of a request; without framing fields it has no body.

    :raises BadRequest: 400 if the framing is ambiguous.
    """
    if not head.flags & HAS_FRAMING:
        return NO_BODY
    declared = _declared_framing(head, BadRequest)
    return NO_BODY if declared is None or (declared.kind is LENGTH_KIND and not declared.length) else declared


def response_framing(head: ResponseHead, method: bytes) -> Framing:
    """The framing of a response (RFC 9112 section 6.3).

    :param method: of the request that it answers.
    :raises BadResponse: if the framing is ambiguous.
    """
    declared = _declared_framing(head, BadResponse)
    if method == b"HEAD" or head.status < 200 or head.status in {204, 304}:
        return NO_BODY
    if declared is None:
        return UNTIL_CLOSE
    return declared


def contradicts_framing(head: ResponseHead) -> bool:
    """Whether a response without a body has fields that announce one: body bytes may follow on the connection.

    RFC 9112 sections 6.1 and 6.2 forbid both fields in 1xx and 204. A 304 may have them, but applications that send
    ``Transfer-Encoding`` there often send the last chunk too.
    """
    if not head.flags & HAS_FRAMING or (head.status >= 200 and head.status not in {204, 304}):
        return False
    if b"transfer-encoding" in head.values:
        return True
    return head.status != 304 and head.values[b"content-length"].strip(b"0") != b""


class LengthReader:
    """Reads a body of known length."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        self.remaining = length

    @property
    def done(self) -> bool:
        """Whether the body is complete."""
        return self.remaining == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body bytes in the input, and the bytes after the body."""
        size = len(data)
        if size <= self.remaining:
            self.remaining -= size
            return data, b""
        cut = self.remaining
        self.remaining = 0
        return data[:cut], data[cut:]


class UntilCloseReader:
    """Reads a body that ends when the connection closes; ``done`` only after :meth:`end`."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """All input is body."""
        return data, b""

    def end(self) -> None:
        """Note that the connection was closed cleanly."""
        self.done = True


class ChunkedReader:
    """Reads a chunked body (RFC 9112 section 7.1). Strict: CRLF only, no white space around sizes, bounded sizes.

    :ivar trailers: the allowed trailer fields, complete when ``done``; names keep their spelling.
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
        """Return the body bytes in the input without chunk lines, and the bytes after the body.

        :raises ProtocolError: an instance of ``error`` if the chunks are malformed.
        """
        pieces, rest = self.feed_pieces(data)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces), rest

    def feed_pieces(self, data: bytes) -> tuple[list[bytes | memoryview], bytes]:
        """Like :meth:`feed`, but without copying: the body bytes are views of ``data``, one per chunk."""
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
        """Read the current chunk and following chunks of the common form; returns the new position."""
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
                raise _protocol_error(self._error, "the chunk size is not a hexadecimal number")
            self._remaining = int(match[1], 16)
            self._state = self._DATA if self._remaining else self._TRAILER
            return
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        match = (_RESPONSE_TRAILER_LINE if self._error is BadResponse else _TRAILER_LINE).fullmatch(line)
        if not match or self._trailer_bytes > _MAX_TRAILER:
            raise _protocol_error(self._error, "a trailer line is not a field, or the trailers are too long")
        if not _NO_TRAILER.fullmatch(match[1]):
            self.trailers.append((match[1], match[2].rstrip(b" \t")))


BodyReader = LengthReader | ChunkedReader | UntilCloseReader


def body_reader(framing: Framing, error: type[ProtocolError]) -> BodyReader:
    """The reader for a framing; for no body it is done from the start."""
    if framing.kind is CHUNKED_KIND:
        return ChunkedReader(error)
    if framing.kind is UNTIL_CLOSE_KIND:
        return UntilCloseReader()
    return LengthReader(framing.length)


def chunk(data: bytes) -> bytes:
    """Encode one chunk; empty data gives no chunk, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: list[Field]) -> bytes:
    """The end of a chunked body."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"

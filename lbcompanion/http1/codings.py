"""Content codings: decode and encode step by step, bounded (RFC 9110 section 8.4, RFC 1950 to 1952)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from lbcompanion.errors import BadResponse

#: What may be offered to the application, since both directions are spoken here.
DECODABLE = frozenset({b"gzip", b"x-gzip", b"deflate"})
_GZIP_WBITS = 31
_ZLIB_WBITS = 15
_RAW_WBITS = -15
# Speed before size: the page was compressed once for this visitor already, and the wire behind us is short.
_LEVEL = 3
_STEP = 262144


class CodingError(BadResponse):
    """A coded body that cannot be decoded."""


class Decoder:
    """Undoes one coding: all members of a gzip stream, both readings of ``deflate``; in steps of bounded size.

    :param coding: one of :data:`DECODABLE`.
    :ivar taken: coded bytes so far.
    :ivar given: decoded bytes so far; the caller judges their proportion and stops what it needs to stop.
    """

    def __init__(self, coding: bytes) -> None:
        self._gzip = coding in {b"gzip", b"x-gzip"}
        self._z: zlib._Decompress | None = zlib.decompressobj(_GZIP_WBITS) if self._gzip else None
        self._held = b""
        self._begun = False
        self.taken = 0
        self.given = 0

    def steps(self, data: bytes) -> Iterator[bytes]:
        """Decode what can be decoded by now, in pieces of at most 256 KiB.

        :raises CodingError: where the input is broken.
        """
        self.taken += len(data)
        if self._z is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            self._held = b""
            # RFC 9110 section 8.4.1.2: deflate is zlib's format, but bare deflate is sent as well.
            zlib_header = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
            self._z = zlib.decompressobj(_ZLIB_WBITS if zlib_header else _RAW_WBITS)
        full = False
        while data or full:
            self._begun = True
            try:
                piece = self._z.decompress(data, _STEP)
            except zlib.error:
                raise CodingError("the coded body is broken") from None
            self.given += len(piece)
            # A full piece may leave output inside zlib though all input is taken.
            full = len(piece) == _STEP and not self._z.eof
            data = self._rest()
            if piece:
                yield piece

    def _rest(self) -> bytes:
        assert self._z is not None
        if not self._z.eof:
            return self._z.unconsumed_tail
        # At the end, zlib's unconsumed tail may repeat what stands in unused_data: only the latter counts.
        rest = self._z.unused_data
        if rest and not self._gzip:
            raise CodingError("bytes after the end of the coded body")
        # Padding with zero bytes is what some writers leave behind a member.
        rest = rest.lstrip(b"\0")
        if rest:
            self._z = zlib.decompressobj(_GZIP_WBITS)
            self._begun = False
        return rest

    def finish(self) -> None:
        """The input is at its end.

        :raises CodingError: where the coded stream is not.
        """
        if self._held or (self._begun and self._z is not None and not self._z.eof):
            raise CodingError("the coded body is cut short")


class Encoder:
    """Applies ``gzip`` or ``deflate`` anew, flushed at each step so that a page flows on as it came."""

    def __init__(self, coding: bytes) -> None:
        self._z = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _GZIP_WBITS if coding in {b"gzip", b"x-gzip"} else _ZLIB_WBITS
        )

    def feed(self, data: bytes) -> bytes:
        """Encode and flush; nothing for nothing."""
        return self._z.compress(data) + self._z.flush(zlib.Z_SYNC_FLUSH) if data else b""

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        return self._z.compress(data) + self._z.flush(zlib.Z_FINISH)


def offer(accept: bytes | None) -> bytes:
    """What to ask of the application for a visitor's ``Accept-Encoding``: the same, less what cannot be undone here.

    :returns: ``identity`` where nothing is left.
    """
    kept = []
    for member in (accept or b"").split(b","):
        coding = member.split(b";")[0].strip(b" \t").lower()
        if coding in DECODABLE:
            kept.append(member.strip(b" \t"))
    return b", ".join(kept) or b"identity"

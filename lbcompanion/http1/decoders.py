"""Decoders for gzip, deflate, br and zstd. Input is consumed at once; output comes in pieces of at most 256 KiB.

:mod:`lbcompanion.http1.codings` maps the names of codings to these classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lbcompanion.errors import BadResponse
from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY, brotli, zstd

#: The maximum size of one decoded piece, in bytes.
MAX_PIECE_BYTES = 262144

# An empty member costs its sender twenty bytes, and costs us a new decompressor.
_MAX_EMPTY_MEMBERS = 100
# RFC 9659: zstd over HTTP is limited to a window of 8 MiB.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
# brotli checks the limit only when a block of its output buffer is full: at 32752, 98272, 229328 bytes, and so on.
_BROTLI_OUTPUT_LIMIT = 131072


class CodingError(BadResponse):
    """A coded body that cannot be decoded."""


class StreamDecoder(Protocol):
    """Decodes one body piece by piece."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the available input, in non-empty pieces of at most :data:`MAX_PIECE_BYTES` bytes.

        :raises CodingError: if the input is corrupt.
        """
        ...

    def finish(self) -> None:
        """Check that the stream is complete at the end of the input.

        :raises CodingError: if it is truncated.
        """
        ...


class DeflateDecoder:
    """Reads gzip (RFC 1952, all members) or deflate (RFC 1950, or RFC 1951 alone).

    :param backend: has zlib's calls.
    """

    __slots__ = ("_backend", "_buffer", "_decompressor", "_empty_members", "_ended", "_gzip")

    def __init__(self, gzip: bool, backend: Any = DEFLATE_LIBRARY) -> None:
        self._gzip = gzip
        self._backend = backend
        self._decompressor: Any = None
        self._buffer = b""
        self._ended = False
        self._empty_members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces of at most :data:`MAX_PIECE_BYTES` bytes."""
        full = False
        while data or full:
            z = self._decompressor
            if z is None:
                data = self._start_member(data)
                z = self._decompressor
                if z is None:
                    return
            try:
                piece = z.decompress(data, MAX_PIECE_BYTES)
            except self._backend.error:
                raise CodingError("the coded body is broken") from None
            if z.eof:
                self._end_member(piece)
                data, full = z.unused_data, False
            else:
                # After a full piece there may be more output even if all input was consumed.
                data, full = z.unconsumed_tail, len(piece) == MAX_PIECE_BYTES
            if piece:
                yield piece

    def _start_member(self, data: bytes) -> bytes:
        """Open the next member if there is one, and return the data to feed to it."""
        if self._gzip:
            if self._ended:
                # Some encoders pad a member with zero bytes.
                data = data.lstrip(b"\0")
            if data:
                self._decompressor = self._backend.decompressobj(31)
            return data
        if self._ended:
            raise CodingError("bytes after the end of the coded body")
        data = self._buffer + data
        if len(data) < 2:
            self._buffer = data
            return b""
        self._buffer = b""
        # RFC 9110 section 8.4.1.2: deflate is zlib's format, but bare deflate is sent as well.
        zlib_header = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
        self._decompressor = self._backend.decompressobj(15 if zlib_header else -15)
        return data

    def _end_member(self, piece: bytes) -> None:
        self._decompressor = None
        self._ended = True
        self._empty_members = 0 if piece else self._empty_members + 1
        if self._empty_members > _MAX_EMPTY_MEMBERS:
            raise CodingError("too many members without content")

    def finish(self) -> None:
        """Check that the stream is complete."""
        if self._buffer or self._decompressor is not None:
            raise CodingError("the coded body is cut short")


class BrotliDecoder:
    """Reads br (RFC 7932), whose windows end at 16 MiB."""

    __slots__ = ("_decompressor", "_started")

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces of at most :data:`MAX_PIECE_BYTES` bytes."""
        z = self._decompressor
        more = bool(data)
        while more:
            self._started = True
            try:
                piece: bytes = z.process(data, output_buffer_limit=_BROTLI_OUTPUT_LIMIT)
            except brotli.error:
                raise CodingError("the coded body is broken, or bytes follow it") from None
            data = b""
            # There may be more output after all input was consumed; brotli has no flag for it.
            more = bool(piece) and not z.is_finished()
            if piece:
                yield piece

    def finish(self) -> None:
        """Check that the stream is complete."""
        if self._started and not self._decompressor.is_finished():
            raise CodingError("the coded body is cut short")


class ZstdDecoder:
    """Reads zstd (RFC 8878): all frames, skippable ones too, with windows of at most 8 MiB (RFC 9659)."""

    __slots__ = ("_decompressor", "_empty_members")

    def __init__(self) -> None:
        self._decompressor: zstd.ZstdDecompressor | None = None
        self._empty_members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces of at most :data:`MAX_PIECE_BYTES` bytes."""
        more = bool(data)
        while more:
            z = self._decompressor
            if z is None:
                z = self._decompressor = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
            try:
                piece = z.decompress(data, MAX_PIECE_BYTES)
            except zstd.ZstdError:
                raise CodingError("the coded body is broken, or its window is too large") from None
            if z.eof:
                self._end_member(piece)
                data = z.unused_data
                more = bool(data)
            else:
                data = b""
                more = not z.needs_input or len(piece) == MAX_PIECE_BYTES
            if piece:
                yield piece

    def _end_member(self, piece: bytes) -> None:
        self._decompressor = None
        self._empty_members = 0 if piece else self._empty_members + 1
        if self._empty_members > _MAX_EMPTY_MEMBERS:
            raise CodingError("too many frames without content")

    def finish(self) -> None:
        """Check that the stream is complete."""
        if self._decompressor is not None:
            raise CodingError("the coded body is cut short")

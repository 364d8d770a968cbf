"""Decoders for gzip, deflate, br and zstd. Input is consumed at once; output comes in pieces of at most 256 KiB.

Bytes after the end of a gzip, deflate or zstd body are ignored, as browsers do: the body up to there is complete, and
its own checksum was right. After a br body they are an error if they come in one piece with its end, since the library
does not tell where the body ends.

:mod:`lbcompanion.http1.codings` maps the names of codings to these classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

from lbcompanion.errors import BadResponse
from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY, brotli, zstd

#: The maximum size of one decoded piece, in bytes.
MAX_PIECE_BYTES = 262144

# An empty member costs its sender twenty bytes, and costs us a new decompressor.
_MAX_EMPTY_MEMBERS = 100
_GZIP_MAGIC = b"\x1f\x8b"
# The starts of zstd frames and of skippable frames (RFC 8878 sections 3.1.1 and 3.1.2).
_ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_ZSTD_MAGIC_START = re.compile(rb"\x28(?:\xb5(?:\x2f)?)?|[\x50-\x5f](?:\x2a(?:\x4d)?)?", re.DOTALL)
_ZSTD_MAGIC_BYTES = 4
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

    __slots__ = ("_backend", "_buffer", "_decompressor", "_empty_members", "_ended", "_gzip", "_ignores_rest")

    def __init__(self, *, gzip: bool, backend: Any = DEFLATE_LIBRARY) -> None:
        self._gzip = gzip
        self._backend = backend
        self._decompressor: Any = None
        self._buffer = b""
        self._ended = False
        self._ignores_rest = False
        self._empty_members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces of at most :data:`MAX_PIECE_BYTES` bytes."""
        may_have_more = False
        while data or may_have_more:
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
                data, may_have_more = z.unused_data, False
            else:
                # After a full piece there may be more output even if all input was consumed.
                data, may_have_more = z.unconsumed_tail, len(piece) == MAX_PIECE_BYTES
            if piece:
                yield piece

    def _start_member(self, data: bytes) -> bytes:
        """Open the next member if there is one, and return the data to feed to it."""
        if self._ignores_rest:
            return b""
        if self._ended:
            if not self._gzip:
                self._ignores_rest = True
                return b""
            # Some encoders pad a member with zero bytes.
            data = data if self._buffer else data.lstrip(b"\0")
        data = self._buffer + data
        self._buffer = b""
        if self._gzip:
            if self._ended and not data.startswith(_GZIP_MAGIC):
                if data and _GZIP_MAGIC.startswith(data):
                    self._buffer = data
                else:
                    self._ignores_rest = bool(data)
                return b""
            if data:
                self._decompressor = self._backend.decompressobj(31)
            return data
        if len(data) < 2:
            self._buffer = data
            return b""
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
        # What follows in a later piece can be ignored.
        more = bool(data) and not z.is_finished()
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

    __slots__ = ("_buffer", "_decompressor", "_empty_members", "_ended", "_ignores_rest")

    def __init__(self) -> None:
        self._decompressor: zstd.ZstdDecompressor | None = None
        # The start of a frame, of less than four bytes.
        self._buffer = b""
        self._ended = False
        self._ignores_rest = False
        self._empty_members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces of at most :data:`MAX_PIECE_BYTES` bytes."""
        more = bool(data)
        while more:
            z = self._decompressor
            if z is None:
                data = self._next_frame(data)
                if not data:
                    return
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

    def _next_frame(self, data: bytes) -> bytes:
        """The data of a frame to open; empty if none begins here, or its start is incomplete."""
        if not self._ended:
            return data
        if self._ignores_rest:
            return b""
        data, self._buffer = self._buffer + data, b""
        if _ZSTD_MAGIC.match(data):
            return data
        if len(data) < _ZSTD_MAGIC_BYTES and _ZSTD_MAGIC_START.fullmatch(data):
            self._buffer = data
        else:
            self._ignores_rest = True
        return b""

    def _end_member(self, piece: bytes) -> None:
        self._decompressor = None
        self._ended = True
        self._empty_members = 0 if piece else self._empty_members + 1
        if self._empty_members > _MAX_EMPTY_MEMBERS:
            raise CodingError("too many frames without content")

    def finish(self) -> None:
        """Check that the stream is complete."""
        if self._buffer or self._decompressor is not None:
            raise CodingError("the coded body is cut short")

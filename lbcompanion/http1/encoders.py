"""Encoders for gzip, deflate, br and zstd: for streams and for complete bodies.

The compression levels favour speed over size, because the application has compressed the page once already.
docs/codings.rst has the measurements.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY, brotli, zstd

_DEFLATE_LEVELS = {"isal.isal_zlib": 2, "zlib": 3}
_BROTLI_QUALITY = 2
_ZSTD_LEVEL = 3
# Windows of 256 KiB. Larger windows do not shrink a typical page, but they cost memory for every page in transit.
_WINDOW_LOG = 18
_ZSTD_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: _ZSTD_LEVEL,
    zstd.CompressionParameter.window_log: _WINDOW_LOG,
}


class StreamEncoder(Protocol):
    """Encodes one body piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """Encode and flush, so that no page data is delayed. Empty input gives empty output."""
        ...

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        ...


class DeflateEncoder:
    """Writes gzip (RFC 1952) or deflate (RFC 1950).

    :param backend: has zlib's calls.
    """

    __slots__ = ("_compressor",)

    def __init__(self, *, gzip: bool, backend: Any = DEFLATE_LIBRARY) -> None:
        self._compressor = backend.compressobj(_DEFLATE_LEVELS[backend.__name__], zlib.DEFLATED, 31 if gzip else 15)

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        if not data:
            return b""
        coded: bytes = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return coded

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        coded: bytes = self._compressor.compress(data) + self._compressor.flush(zlib.Z_FINISH)
        return coded


class BrotliEncoder:
    """Writes br (RFC 7932)."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG)

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        if not data:
            return b""
        coded: bytes = self._compressor.process(data) + self._compressor.flush()
        return coded

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        coded: bytes = self._compressor.process(data) + self._compressor.finish()
        return coded


class ZstdEncoder:
    """Writes zstd (RFC 8878), one frame."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        return self._compressor.compress(data, self._compressor.FLUSH_BLOCK) if data else b""

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        return self._compressor.compress(data, self._compressor.FLUSH_FRAME)


def encode_deflate(data: bytes, *, gzip: bool, backend: Any = DEFLATE_LIBRARY) -> bytes:
    """Encode a complete body as one gzip member or zlib stream, in one call."""
    coded: bytes = backend.compress(data, _DEFLATE_LEVELS[backend.__name__], 31 if gzip else 15)
    return coded


def encode_brotli(data: bytes) -> bytes:
    """Encode a complete body in br."""
    coded: bytes = brotli.compress(data, quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG)
    return coded


# After a frame a compressor is in its initial state. Creating a new one takes as long as compressing 10 KB.
_zstd_compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)


def encode_zstd(data: bytes) -> bytes:
    """Encode a complete body as one zstd frame."""
    return _zstd_compressor.compress(data, _zstd_compressor.FLUSH_FRAME)

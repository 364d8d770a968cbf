"""Writers of the coded formats: gzip, deflate, br, zstd; piece by piece, or a whole body at once.

Speed before size: the page was compressed once for this visitor already, and it is small. docs/codings.rst has the
figures by which the levels were chosen.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY, brotli, zstd

_DEFLATE_LEVELS = {"isal.isal_zlib": 2, "zlib": 3}
_BROTLI_QUALITY = 2
_ZSTD_LEVEL = 3
# Windows of 256 KiB: larger ones make no page of usual size smaller, but every page under way larger in memory.
_WINDOW_LOG = 18
_ZSTD_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: _ZSTD_LEVEL,
    zstd.CompressionParameter.window_log: _WINDOW_LOG,
}


class StreamEncoder(Protocol):
    """One coded body on its way out."""

    def feed(self, data: bytes) -> bytes:
        """Encode and flush, so that a page flows on as it came; nothing for nothing."""
        ...

    def finish(self, data: bytes = b"") -> bytes:
        """Encode the last bytes and end the stream."""
        ...


class DeflateEncoder:
    """Writes gzip (RFC 1952) or deflate (RFC 1950).

    :param backend: has zlib's calls.
    """

    __slots__ = ("_compressor",)

    def __init__(self, gzip: bool, backend: Any = DEFLATE_LIBRARY) -> None:
        self._compressor = backend.compressobj(_DEFLATE_LEVELS[backend.__name__], zlib.DEFLATED, 31 if gzip else 15)

    def feed(self, data: bytes) -> bytes:
        """See :class:`StreamEncoder`."""
        if not data:
            return b""
        coded: bytes = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return coded

    def finish(self, data: bytes = b"") -> bytes:
        """See :class:`StreamEncoder`."""
        coded: bytes = self._compressor.compress(data) + self._compressor.flush(zlib.Z_FINISH)
        return coded


class BrotliEncoder:
    """Writes br (RFC 7932)."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG)

    def feed(self, data: bytes) -> bytes:
        """See :class:`StreamEncoder`."""
        if not data:
            return b""
        coded: bytes = self._compressor.process(data) + self._compressor.flush()
        return coded

    def finish(self, data: bytes = b"") -> bytes:
        """See :class:`StreamEncoder`."""
        coded: bytes = self._compressor.process(data) + self._compressor.finish()
        return coded


class ZstdEncoder:
    """Writes zstd (RFC 8878), one frame."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)

    def feed(self, data: bytes) -> bytes:
        """See :class:`StreamEncoder`."""
        return self._compressor.compress(data, self._compressor.FLUSH_BLOCK) if data else b""

    def finish(self, data: bytes = b"") -> bytes:
        """See :class:`StreamEncoder`."""
        return self._compressor.compress(data, self._compressor.FLUSH_FRAME)


def encode_deflate(gzip: bool, data: bytes, backend: Any = DEFLATE_LIBRARY) -> bytes:
    """All of ``data`` as one gzip member or zlib stream, at the cost of the one call that it takes."""
    coded: bytes = backend.compress(data, _DEFLATE_LEVELS[backend.__name__], 31 if gzip else 15)
    return coded


def encode_brotli(data: bytes) -> bytes:
    """All of ``data`` in br."""
    coded: bytes = brotli.compress(data, quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG)
    return coded


# Behind each frame a compressor is as it was when new, and making a new one takes as long as a page of 10 KB.
_zstd_compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)


def encode_zstd(data: bytes) -> bytes:
    """All of ``data`` as one zstd frame."""
    return _zstd_compressor.compress(data, _zstd_compressor.FLUSH_FRAME)

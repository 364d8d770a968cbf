"""The libraries for the content codings. The other modules of this package import them from here."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DEFLATE_LIBRARY", "brotli", "zstd"]


def _deflate() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - some machines have no wheel of it
    except ImportError:
        return zlib
    return isal_zlib


#: The module for gzip and deflate, with zlib's functions: ISA-L if it is installed, which takes a half to a seventh of
#: zlib's time; else zlib.
DEFLATE_LIBRARY = _deflate()

"""``python -m tests.vtest.decoded CODING FILE``: a coded page that a case received is the page, with the script, once.

Decoded without any code of the project's; the page is always the same.
"""

from __future__ import annotations

import gzip
import importlib
import re
import sys
import zlib
from pathlib import Path

#: What the applications of the cases send.
PAGE = b"<!doctype html><html><head><title>x</title></head></html>"
_SCRIPT = re.compile(
    rb'<script async src="(?:\.|//[^"/]*)?/-/_lbc/fetch-from\?v=[^"]+" data-lbc-token="[^"]+"[^>]*></script>'
)


def decoded(coding: str, data: bytes) -> bytes:
    """The whole body."""
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "deflate":
        return zlib.decompress(data)
    if coding == "br":
        whole: bytes = importlib.import_module("brotli").decompress(data)
        return whole
    library = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    unpacked: bytes = library.decompress(data)
    return unpacked


def main(coding: str, file: str) -> None:
    """Fail where the file is anything else."""
    page = decoded(coding, Path(file).read_bytes())
    without, count = _SCRIPT.subn(b"", page)
    assert without == PAGE, page
    assert count == 1, page


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The libraries that read and write DEFLATE."""

from __future__ import annotations

import zlib

from lbcompanion.http1.coding_libraries import DEFLATE

#: Both, where both are there; the one that is used comes first.
BACKENDS = [DEFLATE, *([zlib] if DEFLATE is not zlib else [])]

"""The libraries that read and write DEFLATE."""

from __future__ import annotations

import zlib

from lbcompanion.http1.coding_libraries import DEFLATE_LIBRARY

#: Both, where both are there; the one that is used comes first.
BACKENDS = [DEFLATE_LIBRARY, *([zlib] if DEFLATE_LIBRARY is not zlib else [])]

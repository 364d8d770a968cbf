"""nginx, ``hash $cookie_NAME [consistent]``: any text is a key, and nginx hashes it.

While its server is down a key leads to another one, and afterwards back: no visitor is moved.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "nginx.org, ngx_http_upstream_module, hash; measured with nginx 1.22.1"

DIALECT = WholeValue(
    name="nginx-hash",
    moves_visitor=False,
    hash_keyed=True,
    samples=(
        Sample("key=visitor-17", (("key", "visitor-17"),), None, _SOURCE, names=("key",)),
        Sample("key=", (), None, f"an empty value is balanced: {_SOURCE}", names=("key",)),
        Sample("sessionid=8f2c9a8f2c9a", (), None, "a session's value is not recorded", names=("sessionid",)),
    ),
)

"""nginx, ``map $cookie_NAME $pool``: the configuration's own table from cookie to upstream.

What the map looks for is not known here; the whole value is kept, unless it may be a session's. Where the map looks at
a suffix only, ``jvmroute`` cuts the cookie down to it.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "nginx.org, ngx_http_map_module; measured with nginx 1.22.1"

DIALECT = WholeValue(
    name="nginx-map",
    moves_visitor=False,
    samples=(Sample("pool=n2", (("pool", "n2"),), None, _SOURCE, names=("pool",)),),
)

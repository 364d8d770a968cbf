"""nginx, ``map $cookie_NAME $pool``: a table in nginx's configuration from cookie to upstream.

The map is not known here. The whole value is kept, unless it may be a session's. If the map uses a suffix only,
``jvmroute`` reduces the cookie to it.
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

"""nginx, ``sticky learn create=... lookup=...``: a table of the application's sessions.

As with :mod:`lbcompanion.sticky.dialects.haproxy_table`, a replay while the server is down binds the session to another
server.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "nginx.org, ngx_http_upstream_module, sticky learn; measured with nginx 1.31.5"

DIALECT = WholeValue(
    name="nginx-learn",
    moves_visitor=True,
    only_allowed=True,
    samples=(
        Sample("examplecookie=8f2c9a", (), None, _SOURCE, names=("examplecookie",)),
        Sample(
            "examplecookie=8f2c9a",
            (("examplecookie", "8f2c9a"),),
            None,
            _SOURCE,
            names=("examplecookie",),
            allow=("examplecookie",),
        ),
    ),
)

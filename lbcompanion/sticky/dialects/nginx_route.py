"""nginx, ``sticky route $variable ...``: the server line's ``route=`` text, which the variables take from the request.

nginx sets no cookie, and the response does not show which server answered. A request with an unknown text is balanced.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "nginx.org, ngx_http_upstream_module, sticky route; measured with nginx 1.31.5"

DIALECT = WholeValue(
    name="nginx-route",
    moves_visitor=False,
    form=r"[^;\s]{1,128}",
    tells_node=True,
    samples=(Sample("where=a", (("where", "a"),), "a", _SOURCE, names=("where",)),),
)

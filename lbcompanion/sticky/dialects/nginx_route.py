"""nginx, ``sticky route $variable ...``: the server line's ``route=`` text, from wherever the variables take it.

nginx sets no cookie, and an answer does not tell where a request went. An unknown text is balanced.
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

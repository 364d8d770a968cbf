"""HAProxy, ``use-server NAME if { req.cook(X) ... }``: a rule in HAProxy's configuration reads the cookie.

The rule is not known here. The whole value is kept, unless it may be a session's.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "docs.haproxy.org, configuration manual, use-server; measured with haproxy 2.6.12"

DIALECT = WholeValue(
    name="haproxy-use-server",
    moves_visitor=False,
    samples=(Sample("where=n2", (("where", "n2"),), None, _SOURCE, names=("where",)),),
)

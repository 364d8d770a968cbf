"""The dialect that configuration describes: the whole value of a named cookie, unless it may be a session's.

Nothing is known of the balancer, so a replay counts as one that could move the visitor.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "the configured names"

DIALECT = WholeValue(
    name="generic",
    moves_visitor=True,
    samples=(
        Sample("where=rack-4/7", (("where", "rack-4/7"),), None, _SOURCE, names=("where",)),
        Sample("a=1; lb_outer=x; lb_inner=y", (("lb_outer", "x"), ("lb_inner", "y")), None, _SOURCE, names=("/^lb_/",)),
        Sample("PHPSESSID=q1w2e3r4t5", (), None, _SOURCE, names=("PHPSESSID",)),
        Sample("PHPSESSID=q1w2", (("PHPSESSID", "q1w2"),), None, _SOURCE, names=("PHPSESSID",), allow=("PHPSESSID",)),
        Sample("where=n1", (), None, "without a name nothing is read"),
    ),
)

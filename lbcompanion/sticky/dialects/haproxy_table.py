"""HAProxy, a stick table on an application's cookie: ``stick on req.cook(X)``, ``stick store-response res.cook(X)``.

The value is a visitor's session and says nothing about the node. A replay while its server is down binds the session to
another server permanently (measured). It is read only where the operator allows it.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "measured with haproxy 2.6.12, stick on req.cook(sess)"

DIALECT = WholeValue(
    name="haproxy-table",
    moves_visitor=True,
    only_allowed=True,
    samples=(
        Sample("sess=8f2c9a", (), None, _SOURCE, names=("sess",)),
        Sample("sess=8f2c9a", (("sess", "8f2c9a"),), None, _SOURCE, names=("sess",), allow=("sess",)),
    ),
)

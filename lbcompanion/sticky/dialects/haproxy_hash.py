"""HAProxy, ``balance hash req.cook(NAME)``: any text is a key, and HAProxy hashes it.

While its server is down a key leads to another one, and afterwards back (measured): no visitor is moved.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "docs.haproxy.org, configuration manual, balance hash; measured with haproxy 2.6.12"

DIALECT = WholeValue(
    name="haproxy-hash",
    moves_visitor=False,
    hash_keyed=True,
    samples=(
        Sample("key=visitor-17", (("key", "visitor-17"),), None, _SOURCE, names=("key",)),
        Sample("sessionid=8f2c9a8f2c9a", (), None, "a session's value is not recorded", names=("sessionid",)),
    ),
)

"""F5 BIG-IP, cookie hash: the text of an application's cookie is the key.

Not verified: where a key leads while its node is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "my.f5.com, cookie persistence, hash method"

DIALECT = WholeValue(
    name="bigip-hash",
    moves_visitor=True,
    hash_keyed=True,
    samples=(Sample("key=visitor-17", (("key", "visitor-17"),), None, _SOURCE, names=("key",)),),
)

"""Envoy, ``hash_policy.cookie`` with ring hash or Maglev: any text is a key.

Without ``ttl`` Envoy only reads the cookie. With ``ttl`` it sets 16 hex digits in quotes in a visitor's first response.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "envoyproxy.io, route hash policy, cookie; measured with envoy 1.40.0"

DIALECT = WholeValue(
    name="envoy-hash",
    moves_visitor=False,
    hash_keyed=True,
    samples=(Sample('ring="0a1b2c3d4e5f6071"', (("ring", '"0a1b2c3d4e5f6071"'),), None, _SOURCE, names=("ring",)),),
)

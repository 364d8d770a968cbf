"""Istio, ``consistentHash.httpCookie``: a key that Envoy hashes; without ``ttl`` it is only read, never set."""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "istio.io, DestinationRule, consistentHash; the same of Envoy measured with 1.40.0"

DIALECT = WholeValue(
    name="istio",
    moves_visitor=False,
    samples=(Sample('user="0a1b2c3d4e5f6071"', (("user", '"0a1b2c3d4e5f6071"'),), None, _SOURCE, names=("user",)),),
)

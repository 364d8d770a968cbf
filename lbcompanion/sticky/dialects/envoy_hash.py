"""Envoy, ``hash_policy.cookie`` with ring hash or Maglev, and what stands on it (Contour, Istio): any text is a key."""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "envoyproxy.io, route hash policy, cookie; measured with envoy 1.40.0"

DIALECT = WholeValue(
    name="envoy-hash",
    cookie_names=("X-Contour-Session-Affinity",),
    samples=(
        Sample('ring="0a1b2c3d4e5f6071"', (("ring", '"0a1b2c3d4e5f6071"'),), None, _SOURCE, names=("ring",)),
        Sample(
            'X-Contour-Session-Affinity="0a1b2c3d4e5f6071"',
            (("X-Contour-Session-Affinity", '"0a1b2c3d4e5f6071"'),),
            None,
            "projectcontour.io, strategy Cookie",
        ),
    ),
)

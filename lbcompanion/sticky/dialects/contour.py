"""Contour, strategy ``Cookie``: ``X-Contour-Session-Affinity``, a key that Envoy generates and hashes."""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = '"0a1b2c3d4e5f6071"'
_SOURCE = "projectcontour.io, request routing, strategy Cookie; the same of Envoy measured with 1.40.0"

DIALECT = WholeValue(
    name="contour",
    moves_visitor=False,
    cookie_names=("X-Contour-Session-Affinity",),
    configurable_name=False,
    samples=(Sample(f"X-Contour-Session-Affinity={_VALUE}", (("X-Contour-Session-Affinity", _VALUE),), None, _SOURCE),),
)

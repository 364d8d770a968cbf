"""Varnish with a VCL of one's own that chooses the backend by a cookie.

What becomes of a visitor whose backend is down is the VCL's affair, so a replay counts as one that could move him.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "measured with varnish 7.1.1"

DIALECT = WholeValue(
    name="varnish-vcl",
    moves_visitor=True,
    samples=(Sample("backend=n2", (("backend", "n2"),), None, _SOURCE, names=("backend",)),),
)

"""Varnish with a custom VCL that chooses the backend by a cookie.

The VCL decides where a visitor is sent whose backend is down, so a replay counts as one that could move the visitor.
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

"""Barracuda Load Balancer ADC, HTTP cookie: opaque, and removed before the node receives the request.

Only the script in the page can read it. Not verified: its form, and the effect of a replay while its node is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "campus.barracuda.com, persistence settings; name and value are invented"

DIALECT = WholeValue(
    name="barracuda",
    moves_visitor=True,
    form=r"[^;\s]{1,256}",
    samples=(Sample("bnstate=q7w8e9r0", (("bnstate", "q7w8e9r0"),), None, _SOURCE, names=("bnstate",)),),
)

"""Google Cloud, stateful session affinity: ``GSSA`` names a host, for as long as that is healthy.

The form of the value is not published, and what a replay does afterwards not verified.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "CgwxMC4wLjAuMTE6ODA"
_SOURCE = "cloud.google.com, HttpRoute, StatefulSessionAffinityPolicy; the value is invented"

DIALECT = WholeValue(
    name="google-gssa",
    moves_visitor=True,
    cookie_names=("GSSA",),
    form=r'"?[A-Za-z0-9+/_=.-]{4,512}"?',
    renamable=False,
    samples=(Sample(f"GSSA={_VALUE}", (("GSSA", _VALUE),), None, _SOURCE),),
)

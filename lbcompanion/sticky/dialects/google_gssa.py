"""Google Cloud, stateful session affinity: ``GSSA`` names a host while the host is healthy.

The form of the value is not published. Not verified: the effect of a replay when the host is no longer healthy.
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
    configurable_name=False,
    samples=(Sample(f"GSSA={_VALUE}", (("GSSA", _VALUE),), None, _SOURCE),),
)

"""Google Cloud, global external Application Load Balancer: ``GCLB``, opaque.

Best effort: it follows capacity and health. Not verified: the effect of a replay while its backend is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "CJ7r2P6Uy8eVWBAD"
_SOURCE = "cloud.google.com/load-balancing, session affinity; form of published samples"

DIALECT = WholeValue(
    name="google-gclb",
    moves_visitor=True,
    cookie_names=("GCLB",),
    form=r'"?[A-Za-z0-9_=-]{8,128}"?',
    configurable_name=False,
    samples=(Sample(f"GCLB={_VALUE}", (("GCLB", _VALUE),), None, _SOURCE),),
)

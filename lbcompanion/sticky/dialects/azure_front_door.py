"""Azure Front Door: ``ASLBSA``, ``0003`` and a SHA-256 of the origin's URL, or two; ``ASLBSACORS`` is its twin.

The exact input of the hash is not published, so it cannot be computed. Only responses that may not be cached set the
cookie. Not verified: the effect of a replay while its origin is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.aws_alb import Twins
from lbcompanion.sticky.dialects.interface import Sample

_VALUE = "00038b3f0c5e7a9d1f2b4c6e8a0d2f4b6c8e8b3f0c5e7a9d1f2b4c6e8a0d2f4b6c8e"
_SOURCE = "learn.microsoft.com, Front Door, traffic routing methods; form of published samples"

DIALECT = Twins(
    name="azure-front-door",
    suffix="CORS",
    moves_visitor=True,
    cookie_names=("ASLBSA", "ASLBSACORS"),
    form=r"0003[0-9a-f]{64}([0-9a-f]{64})?",
    configurable_name=False,
    samples=(Sample(f"ASLBSA={_VALUE}; ASLBSACORS={_VALUE}", (("ASLBSA", _VALUE),), None, _SOURCE),),
)

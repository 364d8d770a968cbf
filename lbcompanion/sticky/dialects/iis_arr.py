"""IIS Application Request Routing on premises: ``ARRAffinity``, or another name, 64 hex digits.

The input of the hash is not published. Not verified: the effect of a replay while its node is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "4f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
_SOURCE = "learn.microsoft.com/iis, Application Request Routing, server affinity"

DIALECT = WholeValue(
    name="iis-arr",
    moves_visitor=True,
    cookie_names=("ARRAffinity",),
    form=r"[0-9a-f]{64}",
    samples=(Sample(f"ARRAffinity={_VALUE}", (("ARRAffinity", _VALUE),), None, _SOURCE),),
)

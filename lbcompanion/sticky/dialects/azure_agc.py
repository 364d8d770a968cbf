"""Azure Application Gateway for Containers: ``AGCAffinity``, a hash that lives for a day.

Its form is not published. Not verified: the effect of a replay while a backend is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "8b3f0c5e7a9d1f2b4c6e8a0d2f4b6c8e"
_SOURCE = "learn.microsoft.com, Application Gateway for Containers, session affinity; the value is invented"

DIALECT = WholeValue(
    name="azure-agc",
    moves_visitor=True,
    cookie_names=("AGCAffinity",),
    form=r"[A-Za-z0-9+/_=.-]{8,256}",
    configurable_name=False,
    samples=(Sample(f"AGCAffinity={_VALUE}", (("AGCAffinity", _VALUE),), None, _SOURCE),),
)

"""Google Cloud, regional and internal Application Load Balancers: ``GCILB``, 16 hex digits in quotes.

They are built on Envoy, and the form is that of its hashed keys. Probably they accept any text; this is not verified.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = '"0a1b2c3d4e5f6071"'
_SOURCE = "cloud.google.com/load-balancing, session affinity; form of published samples"

DIALECT = WholeValue(
    name="google-gcilb",
    moves_visitor=True,
    cookie_names=("GCILB",),
    form=r'"?[0-9a-f]{16}"?',
    configurable_name=False,
    samples=(Sample(f"GCILB={_VALUE}", (("GCILB", _VALUE),), None, _SOURCE),),
)

"""Pound, ``Session Type COOKIE``: a table of the application's sessions.

Probably it behaves as :mod:`lbcompanion.sticky.dialects.haproxy_table`; not verified. It is read only where it is
allowed.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "pound(8), Session"

DIALECT = WholeValue(
    name="pound",
    moves_visitor=True,
    only_allowed=True,
    samples=(
        Sample("sess=8f2c9a", (), None, _SOURCE, names=("sess",)),
        Sample("sess=8f2c9a", (("sess", "8f2c9a"),), None, _SOURCE, names=("sess",), allow=("sess",)),
    ),
)

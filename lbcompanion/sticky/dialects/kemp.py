"""Kemp LoadMaster, Active Cookie: a text of the visitor's own, and a table on the appliance; the name is configurable.

A table may bind a visitor anew, so a replay counts as one that could move him; not verified. For *Server Cookie*, a
table of the application's sessions, there is ``haproxy-table``.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "docs.progress.com, LoadMaster, layer 7 persistence; name and value are invented"

DIALECT = WholeValue(
    name="kemp",
    moves_visitor=True,
    form=r"[^;\s]{1,256}",
    samples=(
        Sample("lmcookie=0123456789abcdef", (("lmcookie", "0123456789abcdef"),), None, _SOURCE, names=("lmcookie",)),
    ),
)

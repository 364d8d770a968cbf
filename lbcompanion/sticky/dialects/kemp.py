"""Kemp LoadMaster, Active Cookie: another text for each visitor, and a table on the appliance; the name can be set.

A table may bind a visitor to another node, so a replay counts as one that could move the visitor; not verified. For
*Server Cookie*, a table of the application's sessions, use ``haproxy-table``.
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

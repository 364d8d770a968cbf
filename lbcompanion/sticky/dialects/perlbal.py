"""Perlbal with the plugin SessionAffinity: a SHA-1 for each backend. Perlbal without it is not sticky.

Not verified: the effect of a replay to a backend that is down.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
_SOURCE = "metacpan.org, Perlbal::Plugin::SessionAffinity"

DIALECT = WholeValue(
    name="perlbal",
    moves_visitor=True,
    form=r"[0-9a-f]{40}",
    samples=(Sample(f"backend={_VALUE}", (("backend", _VALUE),), None, _SOURCE, names=("backend",)),),
)

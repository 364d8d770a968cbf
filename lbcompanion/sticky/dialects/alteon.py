"""Radware Alteon, cookie insert: ``AlteonP``, which contains the visitor's own address.

It is never recorded; the crawler gets its own cookie from the balancer. In rewrite mode the value is the server's
address, under another name: use ``generic`` there.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "Radware Alteon, application guide; the value is invented"


@frozen(kw_only=True)
class Alteon(WholeValue):
    """Recognised, and left alone."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """Return None, because nothing is recorded."""
        return None

    def recognises(self, name: str, value: str) -> bool:
        """By the name."""
        return bool(value) and name in self.cookie_names


DIALECT = Alteon(
    name="alteon",
    moves_visitor=True,
    cookie_names=("AlteonP",),
    never_record="it holds the visitor's address",
    samples=(
        Sample("AlteonP=0a00000ac0a80117005012345678", (), None, _SOURCE),
        Sample("AlteonP=0a00000ac0a80117005012345678", (), None, _SOURCE, names=("AlteonP",), allow=("AlteonP",)),
    ),
)

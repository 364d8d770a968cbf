"""Imperva Cloud WAF: ``nlbi_SITE``, opaque, another one for each visitor.

``incap_ses_...`` and ``visid_incap_...`` tell the visitor from a robot; they are read only where they are allowed. Not
verified: whether ``nlbi_SITE`` routes without them; Imperva may refuse a crawler.
"""

from __future__ import annotations

import re

from attrs import frozen

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "kR3vX8Zq1Lw0nB7yTtE5uAAAAAB2c3d4e5f6g7h8i9j0"
_SOURCE = "names and forms of published samples"
_SECURITY = re.compile(r"incap_ses_.+|visid_incap_.+", re.ASCII)


@frozen(kw_only=True)
class Imperva(WholeValue):
    """The balancing cookie, and the others where they are allowed."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The whole value; None for a cookie of one visitor that is not allowed."""
        return None if _SECURITY.fullmatch(name) and not allowed else super().reduce(name, value, allowed)


DIALECT = Imperva(
    name="imperva",
    moves_visitor=True,
    cookie_names=("/^nlbi_[0-9_]+$/", "/^incap_ses_[0-9_]+$/", "/^visid_incap_[0-9]+$/"),
    form=r"[A-Za-z0-9+/=_-]{16,256}",
    configurable_name=False,
    samples=(
        Sample(f"visid_incap_1234={_VALUE}; nlbi_1234={_VALUE}", (("nlbi_1234", _VALUE),), None, _SOURCE),
        Sample(
            f"incap_ses_77_1234={_VALUE}; nlbi_1234={_VALUE}",
            (("incap_ses_77_1234", _VALUE), ("nlbi_1234", _VALUE)),
            None,
            _SOURCE,
            allow=("/^incap_ses_[0-9_]+$/",),
        ),
    ),
)

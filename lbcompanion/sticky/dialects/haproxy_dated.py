"""HAProxy, ``cookie NAME insert`` with ``maxidle`` or ``maxlife``: ``id|last|first``.

Each date is five characters of base64, big-endian, 30 bits: seconds since the epoch, divided by four. HAProxy treats an
expired value as unknown. The bare id never expires, and HAProxy adds new dates to it.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.dialects.haproxy_insert import HaproxyInsert
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal, compiled

_DATED = compiled(r"[^|;\s]{1,128}\|[A-Za-z0-9+/]{5}(\|[A-Za-z0-9+/]{5})?")
_SOURCE = "docs.haproxy.org, configuration manual, keyword cookie (maxidle, maxlife); measured with haproxy 2.6.12"


@frozen(kw_only=True)
class HaproxyDated(HaproxyInsert):
    """The id before the first bar, whether the dates are there or not."""

    def recognises(self, name: str, value: str) -> bool:
        """By the dates behind a plain id."""
        return _DATED.fullmatch(value) is not None and self._is_plain(name, value)


DIALECT = HaproxyDated(
    name="haproxy-dated",
    moves_visitor=False,
    separator="|",
    keeps_separator=False,
    form=r"[^|;\s]{1,128}",
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample("SRV=n1|Z3SFg|Z3SFg", (("SRV", "n1"),), "n1", f"maxlife: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1|Z3SFg", (("SRV", "n1"),), "n1", f"maxidle: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1|", (("SRV", "n1"),), "n1", f"a bar without a date: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1", (("SRV", "n1"),), "n1", f"smallest replay: {_SOURCE}", names=("SRV",)),
    ),
)

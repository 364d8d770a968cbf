"""HAProxy, ``cookie NAME insert`` with ``maxidle`` or ``maxlife``: ``id|last|first``.

Each date is five characters of base64, big-endian, 30 bits: seconds since the epoch, divided by four. What has run out
is unknown to HAProxy; the bare id never runs out, and is stamped anew.
"""

from __future__ import annotations

import string

from attrs import frozen

from lbcompanion.sticky.dialects.haproxy_insert import HaproxyInsert
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal, compiled

_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_SECONDS_A_STEP = 4
_DATES = 5
_DATED = compiled(r"[^|;\s]{1,128}\|[A-Za-z0-9+/]{5}(\|[A-Za-z0-9+/]{5})?")
_SOURCE = "docs.haproxy.org, configuration manual, keyword cookie (maxidle, maxlife); measured with haproxy 2.6.12"


def stamp(seconds: float) -> str:
    """A date as HAProxy writes it.

    :param seconds: since the epoch.
    """
    steps = int(seconds) // _SECONDS_A_STEP & (1 << 6 * _DATES) - 1
    return "".join(_DIGITS[steps >> 6 * place & 63] for place in reversed(range(_DATES)))


def stamped_at(text: str) -> int:
    """Seconds since the epoch, to four seconds.

    :raises ValueError: where the text is no such date.
    """
    if len(text) != _DATES:
        raise ValueError("five characters are needed")
    steps = 0
    for char in text:
        steps = steps << 6 | _DIGITS.index(char)
    return steps * _SECONDS_A_STEP


@frozen(kw_only=True)
class HaproxyDated(HaproxyInsert):
    """The id before the first bar, whether the dates are there or not."""

    def recognises(self, name: str, value: str) -> bool:
        """By the dates behind a plain id."""
        return _DATED.fullmatch(value) is not None and self._is_plain(name, value)


DIALECT = HaproxyDated(
    name="haproxy-dated",
    separator="|",
    keeps_separator=False,
    form=r"[^|;\s]{1,128}",
    signal=Signal.WHERE_MOVED,
    samples=(
        Sample("SRV=n1|Z3SFg|Z3SFg", (("SRV", "n1"),), "n1", f"maxlife: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1|Z3SFg", (("SRV", "n1"),), "n1", f"maxidle: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1|", (("SRV", "n1"),), "n1", f"a bar without a date: {_SOURCE}", names=("SRV",)),
        Sample("SRV=n1", (("SRV", "n1"),), "n1", f"smallest replay: {_SOURCE}", names=("SRV",)),
    ),
)

"""HAProxy, ``cookie NAME insert``, with or without ``indirect``, ``maxidle`` and ``maxlife``.

The value is the server line's ``cookie`` text. With ``maxidle`` or ``maxlife`` two dates follow,
``id|last|first``, each of five base64 characters; HAProxy accepts the bare id and adds new times.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.credentials import may_be_session
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import BeforeSeparator, Signal, compiled

_DATED = compiled(r"[^|]+\|[A-Za-z0-9+/]{5}(\|[A-Za-z0-9+/]{5})?")
_MANUAL = "docs.haproxy.org, configuration manual, keyword cookie; measured with haproxy 2.6.12"


@frozen(kw_only=True)
class HaproxyInsert(BeforeSeparator):
    """The id before the first bar."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The bare id, unless it may be a session's; HAProxy's own ids are free text."""
        bare = super().reduce(name, value, allowed)
        return bare if bare is not None and self.may_be_recorded(name, bare, allowed) else None

    def recognises(self, name: str, value: str) -> bool:
        """By a name of the manual's, or by the dates behind a plain id."""
        return super().recognises(name, value) or (_DATED.fullmatch(value) is not None and self._is_plain(name, value))

    def _is_plain(self, name: str, value: str) -> bool:
        bare = self.reduce(name, value, False)
        return bare is not None and not may_be_session(name, bare)


DIALECT = HaproxyInsert(
    name="haproxy-insert",
    moves_visitor=False,
    cookie_names=("SERVERID",),
    separator="|",
    keeps_separator=False,
    signal=Signal.ONLY_IF_MOVED,
    form=r"[^|;\s]{1,128}",
    samples=(
        Sample("SERVERID=n2", (("SERVERID", "n2"),), "n2", _MANUAL),
        Sample("SRV=n1", (("SRV", "n1"),), "n1", _MANUAL, names=("SRV",)),
        Sample("a=1; SRV=n1|Z3SFg|Z3SFg; b=2", (("SRV", "n1"),), "n1", f"maxlife: {_MANUAL}", names=("SRV",)),
        Sample("SRV=n1|Z3SFg", (("SRV", "n1"),), "n1", f"maxidle: {_MANUAL}", names=("SRV",)),
        Sample("SRV=n1|", (("SRV", "n1"),), "n1", f"a bar without a date: {_MANUAL}", names=("SRV",)),
        Sample("SRV=; x=y", (), None, f"an empty value is unknown: {_MANUAL}", names=("SRV",)),
        Sample("srv=n1", (), None, f"names are compared with case: {_MANUAL}", names=("SRV",)),
    ),
)

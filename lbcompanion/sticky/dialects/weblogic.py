"""WebLogic: ``JSESSIONID=id!primary!secondary[!time]``; the numbers identify JVMs, and change with each restart.

The session's id is never read: it is replaced by ``x``, and the secondary, which would be tried next, is left out. Not
verified: whether the plug-in accepts such a value.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal, compiled

# The number of a JVM has 32 bits.
_SESSION = compiled(r"[^!;\s]+!(-?[0-9]{1,10})(!(NONE|-?[0-9]{1,20}))?(![0-9]{1,20})?")
_SOURCE = "long-standing descriptions of the plug-in and its log"


@frozen(kw_only=True)
class WebLogic(Shape):
    """The number after the first mark."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """``abc!123!456`` becomes ``x!123``."""
        jvm = self.node_of(RoutingCookie(name, value))
        return None if jvm is None else f"x!{jvm}"

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The primary JVM's number."""
        found = _SESSION.fullmatch(cookie.value)
        return found[1] if found else None


DIALECT = WebLogic(
    name="weblogic",
    moves_visitor=True,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=GpXk5q7r!-1280934!1629384", (("JSESSIONID", "x!-1280934"),), "-1280934", _SOURCE),
        Sample("JSESSIONID=GpXk5q7r!-1280934!NONE!1735689600000", (("JSESSIONID", "x!-1280934"),), "-1280934", _SOURCE),
        Sample("JSESSIONID=GpXk5q7r", (), None, "one server alone"),
    ),
)

"""WebSphere: ``JSESSIONID=CCCCid:clone``; the clone's id is also in the plug-in's configuration.

The session's id is never read: it and the cache's number are replaced by ``0000x``. Not verified: whether the plug-in
accepts such a value. With memory replication there is a partition's id instead, which changes.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.credentials import looks_like_id
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal, compiled

_SESSION = compiled(r"[0-9]{4}[^:;!~\s]+((?::[A-Za-z0-9_-]{1,64})+)")
_SOURCE = "IBM documentation on clone ids; published samples"


def _has_id(clones: str) -> bool:
    return any(looks_like_id(clone) for clone in clones.split(":")[1:])


@frozen(kw_only=True)
class WebSphere(Shape):
    """The clone's id, or the ids in their order."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """``0001abc:17bqcl2uu`` becomes ``0000x:17bqcl2uu``; a text as long as a session's id is not read."""
        found = _SESSION.fullmatch(value)
        if found is None:
            return None
        replay = f"0000x{found[1]}"
        return replay if allowed or value == replay or not _has_id(found[1]) else None

    def recognises(self, name: str, value: str) -> bool:
        """Whether the name is this dialect's, and the clone's part is no session's id."""
        return super().recognises(name, value) and not _has_id(value)

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The first clone's id."""
        found = _SESSION.fullmatch(cookie.value)
        return found[1].split(":")[1] if found else None

    def write(self, node: NodeFacts) -> str | None:
        """The clone's id, where that is the node's name."""
        value = f"0000x:{node.name}"
        return value if _SESSION.fullmatch(value) and ":" not in node.name else None


DIALECT = WebSphere(
    name="websphere",
    moves_visitor=True,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=0001Gp-Xk5q7rQ:17bqcl2uu", (("JSESSIONID", "0000x:17bqcl2uu"),), "17bqcl2uu", _SOURCE),
        Sample("JSESSIONID=0001GpXk5q7rQ", (), None, "one server alone"),
    ),
)

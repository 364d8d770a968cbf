"""ACME's balancer, which does not exist: ``ACME_NODE=v1-<node>-<visitor>``.

The node's name routes; what follows is the visitor's, and is not needed: ``v1-<node>-`` reaches the node as well.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal, compiled

_FORM = compiled(r"v1-([a-z0-9]{1,32})-[A-Za-z0-9]*")
_SOURCE = "ACME balancer, administrator's guide, page 12"


@frozen(kw_only=True)
class Acme(Shape):
    """A version, the node and the visitor, between dashes."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """``v1-web1-abc`` becomes ``v1-web1-``; what has another form is not ours."""
        found = _FORM.fullmatch(value)
        return f"v1-{found[1]}-" if found else None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The node's name."""
        found = _FORM.fullmatch(cookie.value)
        return found[1] if found else None

    def write(self, node: NodeFacts) -> str | None:
        """ACME's names are the farm's, in small letters."""
        value = f"v1-{node.name}-"
        return value if _FORM.fullmatch(value) else None


DIALECT = Acme(
    name="acme",
    cookie_names=("ACME_NODE",),
    # The guide says that the cookie is set again only when a visitor had to be moved.
    signal=Signal.ONLY_IF_MOVED,
    # It also says that the balancer keeps no table: a replay to a node that is down moves nobody.
    moves_visitor=False,
    samples=(
        Sample("ACME_NODE=v1-web1-8f2c9a", (("ACME_NODE", "v1-web1-"),), "web1", _SOURCE),
        Sample("a=b; ACME_NODE=v1-web2-", (("ACME_NODE", "v1-web2-"),), "web2", f"smallest replay: {_SOURCE}"),
        Sample("ACME_NODE=v2-web1-8f2c9a", (), None, f"another version: {_SOURCE}"),
    ),
)

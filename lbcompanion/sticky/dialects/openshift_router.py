"""OpenShift's router: a cookie named by 32 hex digits, or by an annotation, with an MD5 of the endpoint's description.

The description is ``pod:POD:SERVICE:PORT NAME:IP:PORT``, or ``ept:...``. With the dynamic configuration manager the
value is ``haproxy-dynamic``'s, with the cookie's name as the key. HAProxy removes the cookie before the node receives
the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import md5

from attrs import evolve, frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.haproxy_dynamic import HaproxyDynamic
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, first_literal

_DESCRIBED = re.compile(r"(pod|ept):[A-Za-z0-9_.:\[\]-]{1,400}", re.ASCII)
# Not among ``cookie_names``: those are looked for where nothing is configured.
_MADE_UP = ("/^[0-9a-f]{32}$/",)
_NAME, _VALUE = "1e2670d92730b515ce3a1bb65da45062", "d41d8cd98f00b204e9800998ecf8427e"
_SOURCE = "read in openshift/router, August 2026"


@frozen(kw_only=True)
class OpenShiftRouter(HaproxyDynamic):
    """A hash of a description, or of an address."""

    def recognises(self, name: str, value: str) -> bool:
        """Never: neither name nor value is telling."""
        return False

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Read whole values; without configured names, under the names that the router generates."""
        return super().read(cookies, names or _MADE_UP, allow)

    def write(self, node: NodeFacts) -> str | None:
        """For the description of an endpoint, or an ``ip:port``."""
        if _DESCRIBED.fullmatch(node.address):
            return md5(node.address.encode(), usedforsecurity=False).hexdigest()
        return super().write(node)

    def compute(self, node: NodeFacts, names: tuple[str, ...]) -> RoutingCookie | None:
        """The router's key is the cookie's name."""
        name = first_literal(names)
        return super().compute(evolve(node, key=node.key or name), names) if name else None


DIALECT = OpenShiftRouter(
    name="openshift-router",
    moves_visitor=False,
    form=r"[0-9a-f]{32}|[0-9a-f]{16}",
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample(f"{_NAME}={_VALUE}", ((_NAME, _VALUE),), None, _SOURCE, names=(_NAME,)),
        Sample("route=5e9550b74eb06698", (("route", "5e9550b74eb06698"),), None, _SOURCE, names=("route",)),
    ),
)

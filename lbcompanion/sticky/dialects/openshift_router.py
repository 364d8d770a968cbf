"""OpenShift's router: a cookie named by 32 hex digits, or by an annotation, with an MD5 of the endpoint's description.

``pod:POD:SERVICE:PORT NAME:IP:PORT``, or ``ept:...``; with the dynamic configuration manager the value is
``haproxy-dynamic``'s, with the cookie's name for a key. HAProxy takes the cookie off before the node sees the request.
Read in the source, not measured.
"""

from __future__ import annotations

import re
from hashlib import md5

from attrs import evolve, frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.haproxy_dynamic import HaproxyDynamic
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, first_plain

_DESCRIBED = re.compile(r"(pod|ept):[A-Za-z0-9_.:\[\]-]{1,400}", re.ASCII)
_NAME, _VALUE = "1e2670d92730b515ce3a1bb65da45062", "d41d8cd98f00b204e9800998ecf8427e"
_SOURCE = "read in openshift/router, August 2026"


@frozen(kw_only=True)
class OpenShiftRouter(HaproxyDynamic):
    """A hash of a description, or of an address."""

    def write(self, node: NodeFacts) -> str | None:
        """For the description of an endpoint, or an ``ip:port``."""
        if _DESCRIBED.fullmatch(node.address):
            return md5(node.address.encode(), usedforsecurity=False).hexdigest()
        return super().write(node)

    def forge(self, node: NodeFacts, names: tuple[str, ...]) -> RoutingCookie | None:
        """The router's key is the cookie's name."""
        name = first_plain(names)
        return super().forge(evolve(node, key=node.key or name), names) if name else None


DIALECT = OpenShiftRouter(
    name="openshift-router",
    cookie_names=("/^[0-9a-f]{32}$/",),
    form=r"[0-9a-f]{32}|[0-9a-f]{16}",
    signal=Signal.WHERE_MOVED,
    samples=(
        Sample(f"{_NAME}={_VALUE}", ((_NAME, _VALUE),), None, _SOURCE),
        Sample("route=5e9550b74eb06698", (("route", "5e9550b74eb06698"),), None, _SOURCE, names=("route",)),
    ),
)

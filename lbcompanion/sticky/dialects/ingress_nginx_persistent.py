"""ingress-nginx, ``affinity-mode: persistent``: ``INGRESSCOOKIE=md5|md5``; the first part identifies the endpoint.

It is the MD5 of the backend's name, such as ``default-web-80``, and the endpoint's ``ip:port``. A request with an
unknown one is balanced, and the response sets a new cookie. The second part identifies the backend. Taken from the
source, not measured.
"""

from __future__ import annotations

from hashlib import md5

from attrs import frozen

from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import KeyBeforeBar, Signal

_ENDPOINT, _SERVICE = "1e6de6c786eb7a3996995acbf3b28db1", "6cde5721ec2c7e2bce07cff7d0e4ac37"
_SOURCE = "read in ingress-nginx, March 2026"


@frozen(kw_only=True)
class IngressNginxPersistent(KeyBeforeBar):
    """A hash that can be computed."""

    def write(self, node: NodeFacts) -> str | None:
        """For an ``ip:port``; ``key`` is the backend's name."""
        address = parse_address(node.address)
        if address is None or not node.key:
            return None
        return md5((node.key + str(address)).encode(), usedforsecurity=False).hexdigest()


DIALECT = IngressNginxPersistent(
    name="ingress-nginx-persistent",
    moves_visitor=False,
    cookie_names=("INGRESSCOOKIE",),
    form=r"[0-9a-f]{32}",
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample(f"INGRESSCOOKIE={_ENDPOINT}|{_SERVICE}", (("INGRESSCOOKIE", _ENDPOINT),), None, _SOURCE),
        Sample(f"INGRESSCOOKIE={_ENDPOINT}", (("INGRESSCOOKIE", _ENDPOINT),), None, f"smallest replay: {_SOURCE}"),
    ),
)

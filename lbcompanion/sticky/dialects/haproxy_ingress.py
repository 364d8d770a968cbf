"""HAProxy Ingress: ``INGRESSCOOKIE``, as ``haproxy-dynamic`` with the published key ``Ingress``.

With ``session-cookie-dynamic: false`` it is the server's name or the pod's UID. HAProxy takes the cookie off before the
node sees the request.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.cookies import names_match
from lbcompanion.sticky.dialects.haproxy_dynamic import HaproxyDynamic
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal, compiled

_OWN = compiled(r"[0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SOURCE = "haproxy-ingress.github.io, configuration keys, affinity; formula measured with haproxy 2.6.12"


@frozen(kw_only=True)
class HaproxyIngress(HaproxyDynamic):
    """A hash, a name or a UID."""

    def recognises(self, name: str, value: str) -> bool:
        """By the default name, where the value is a hash or a UID."""
        return names_match(self.cookie_names, name) and _OWN.fullmatch(value) is not None


DIALECT = HaproxyIngress(
    name="haproxy-ingress",
    moves_visitor=False,
    cookie_names=("INGRESSCOOKIE",),
    form=r"[A-Za-z0-9_.-]{1,128}",
    signal=Signal.WHERE_MOVED,
    published_key="Ingress",
    samples=(
        Sample("INGRESSCOOKIE=5e9550b74eb06698", (("INGRESSCOOKIE", "5e9550b74eb06698"),), None, _SOURCE),
        Sample("INGRESSCOOKIE=srv001", (("INGRESSCOOKIE", "srv001"),), None, _SOURCE, names=("INGRESSCOOKIE",)),
    ),
)

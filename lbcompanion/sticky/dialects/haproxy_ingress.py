"""HAProxy Ingress: ``INGRESSCOOKIE``, as ``haproxy-dynamic`` with the published key ``Ingress``.

With ``session-cookie-dynamic: false`` it is the server's name or the pod's UID. HAProxy removes the cookie before the
node receives the request.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.haproxy_dynamic import HaproxyDynamic
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal

_SOURCE = "haproxy-ingress.github.io, configuration keys, affinity; formula measured with haproxy 2.6.12"

DIALECT = HaproxyDynamic(
    name="haproxy-ingress",
    moves_visitor=False,
    cookie_names=("INGRESSCOOKIE",),
    form=r"[A-Za-z0-9_.-]{1,128}",
    own_form=r"[0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # a hash or a UID
    signal=Signal.ONLY_IF_MOVED,
    published_key="Ingress",
    samples=(
        Sample("INGRESSCOOKIE=5e9550b74eb06698", (("INGRESSCOOKIE", "5e9550b74eb06698"),), None, _SOURCE),
        Sample("INGRESSCOOKIE=srv001", (("INGRESSCOOKIE", "srv001"),), None, _SOURCE, names=("INGRESSCOOKIE",)),
    ),
)

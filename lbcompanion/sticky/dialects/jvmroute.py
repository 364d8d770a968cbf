"""Application servers that name their route, behind Apache's mod_proxy_balancer: ``JSESSIONID=id.route``.

The route alone brings a request to its node. The session's id is never needed, and never read.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator, Signal

_SOURCE = "tomcat.apache.org, Engine jvmRoute; measured with apache 2.4.71, mod_jk 1.2.48, tomcat 10.1.60"

DIALECT = AfterSeparator(
    name="jvmroute",
    moves_visitor=False,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C.node1", (("JSESSIONID", ".node1"),), "node1", _SOURCE),
        Sample("JSESSIONID=.node2", (("JSESSIONID", ".node2"),), "node2", f"smallest replay: {_SOURCE}"),
        Sample("JSESSIONID=4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C", (), None, f"without jvmRoute: {_SOURCE}"),
        Sample("APPSID=q7.node3", (("APPSID", ".node3"),), "node3", "a cookie renamed", names=("APPSID",)),
    ),
)

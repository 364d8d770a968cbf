"""WildFly, JBoss EAP and Undertow: ``JSESSIONID=id.route``; the route is the instance's id, by default the node's name.

Clustered sessions may name several routes, in order. The session's id is never read.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator, Signal

_SOURCE = "docs.wildfly.org, undertow, instance-id; proposal WFLY-12473 on ranked routes"

DIALECT = AfterSeparator(
    name="undertow",
    moves_visitor=False,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=Gp-Xk5q7rQ_8s9t0u.node1", (("JSESSIONID", ".node1"),), "node1", _SOURCE),
        Sample("JSESSIONID=Gp-Xk5q7rQ.node1.node2", (("JSESSIONID", ".node1.node2"),), "node1.node2", _SOURCE),
    ),
)

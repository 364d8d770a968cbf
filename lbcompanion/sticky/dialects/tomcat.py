"""Tomcat's ``jvmRoute``: ``JSESSIONID=id.route``, for any balancer that reads the route.

The node writes the route itself, in the first response with a session. It answers another node's id with a new session.
The route alone is enough, and the session's id is never read.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator, Signal

_SOURCE = "tomcat.apache.org, Engine, jvmRoute; measured with tomcat 10.1.60"

DIALECT = AfterSeparator(
    name="tomcat",
    moves_visitor=False,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C.node1", (("JSESSIONID", ".node1"),), "node1", _SOURCE),
        Sample("JSESSIONID=4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C", (), None, f"without jvmRoute: {_SOURCE}"),
    ),
)

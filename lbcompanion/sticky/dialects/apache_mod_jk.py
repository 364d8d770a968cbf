"""Apache mod_jk in front of Tomcat: ``JSESSIONID=id.route``, in the same form as ``jvmroute``.

With ``sticky_session_force`` an unknown route, and one whose node is down, is answered by 503.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator, Signal

_SOURCE = "tomcat.apache.org/connectors-doc, workers, sticky_session; measured with mod_jk 1.2.48 and tomcat 10.1.60"

DIALECT = AfterSeparator(
    name="apache-mod-jk",
    moves_visitor=False,
    cookie_names=("JSESSIONID",),
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=4E3A2B1C0D9F8E7A6B5C4D3E2F1A0B9C.node1", (("JSESSIONID", ".node1"),), "node1", _SOURCE),
        Sample("JSESSIONID=.node2", (("JSESSIONID", ".node2"),), "node2", f"smallest replay: {_SOURCE}"),
    ),
)

"""HAProxy, ``cookie NAME prefix``: the server's id and ``~`` before the application's own value.

The node receives the application's part only. ``id~`` with nothing after it reaches the server.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.credentials import looks_like_node_text
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import BeforeSeparator, Signal

_SOURCE = "docs.haproxy.org, configuration manual, keyword cookie (prefix); measured with haproxy 2.6.12"


@frozen(kw_only=True)
class HaproxyPrefix(BeforeSeparator):
    """The id before the first tilde."""

    def recognises(self, name: str, value: str) -> bool:
        """By the tilde, whatever the name, where a plain text stands before it: the cookie is the application's, and
        its own values may hold tildes."""
        return self.reduce(name, value, False) is not None and looks_like_node_text(value.partition(self.separator)[0])


DIALECT = HaproxyPrefix(
    name="haproxy-prefix",
    moves_visitor=False,
    cookie_names=("JSESSIONID", "PHPSESSID", "ASP.NET_SessionId", "sessionid", "connect.sid"),
    # Short: where an application's own value holds a tilde, its head must not pass for a server's id.
    form=r"[A-Za-z0-9_.:-]{1,24}",
    signal=Signal.COMPARED,
    samples=(
        Sample("JSESSIONID=n2~abc", (("JSESSIONID", "n2~"),), "n2", _SOURCE),
        Sample("app=n1~a~b; x=y", (("app", "n1~"),), "n1", _SOURCE, names=("app",)),
        Sample("JSESSIONID=n2~", (("JSESSIONID", "n2~"),), "n2", f"smallest replay: {_SOURCE}"),
        Sample("JSESSIONID=0123456789ABCDEF0123456789ABCDEF", (), None, f"as the node sees it: {_SOURCE}"),
    ),
)

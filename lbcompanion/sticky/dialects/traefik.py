"""Traefik, ``sticky.cookie``: 16 hex digits of a hash of the server's URL (versions 1 and early 2: the URL itself).

Stacked services have a cookie each, and a request needs all of them. Other software also writes such hashes, and names
such as Traefik's default, ``_`` and five hex digits. Unless this dialect is configured, only a URL is read.
"""

from __future__ import annotations

import re
from hashlib import sha256

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.credentials import looks_like_node_text
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_URL = re.compile(r"https?://[^\s;@?#]+", re.ASCII)
_SOURCE = "doc.traefik.io, routing, services, sticky sessions; read in traefik 3.7.9"


def _hash(url: str) -> str:
    return sha256(url.encode()).hexdigest()[:16]


@frozen(kw_only=True)
class Traefik(WholeValue):
    """A hash, or a URL."""

    def recognises(self, name: str, value: str) -> bool:
        """By the name, where the value is a URL."""
        return super().recognises(name, value) and looks_like_node_text(value)

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The server's URL, in the versions that wrote it."""
        return cookie.value if _URL.fullmatch(cookie.value) else None

    def write(self, node: NodeFacts) -> str | None:
        """For a server's URL as configured; version 3.3.4 and later."""
        return _hash(node.address) if _URL.fullmatch(node.address) else None

    def same_node(self, first: RoutingCookie, second: RoutingCookie) -> bool:
        """A URL that was sent is answered by its hash."""
        return super().same_node(first, second) or (
            self.node_of(first) is not None and _hash(first.value) == second.value
        )


DIALECT = Traefik(
    name="traefik",
    moves_visitor=False,
    cookie_names=("/^_[0-9a-f]{5}$/",),
    signal=Signal.ONLY_IF_MOVED,
    form=r"[0-9a-f]{16}|https?://[^\s;@?#]{1,256}",
    samples=(
        Sample("_1a2b3=3abb336021d0fdb1", (("_1a2b3", "3abb336021d0fdb1"),), None, _SOURCE, names=("_1a2b3",)),
        Sample(
            "outer=3abb336021d0fdb1; inner=5e9550b74eb06698",
            (("outer", "3abb336021d0fdb1"), ("inner", "5e9550b74eb06698")),
            None,
            f"stacked services: {_SOURCE}",
            names=("outer", "inner"),
        ),
        Sample(
            "_1a2b3=http://10.0.0.11:8080",
            (("_1a2b3", "http://10.0.0.11:8080"),),
            "http://10.0.0.11:8080",
            f"taken by every version: {_SOURCE}",
        ),
    ),
)

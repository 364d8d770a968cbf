"""The proxies in front of the application: nothing, the companion, HAProxy or nginx."""

from __future__ import annotations

from bench.peers.companion import Companion
from bench.peers.haproxy import HAProxy
from bench.peers.interface import Peer
from bench.peers.nginx import NginxPlain
from bench.targets import COMPANION


class Direct(Peer):
    """No proxy: visitors connect to the application."""

    name = "straight to the application"
    tagged = False

    @classmethod
    def missing(cls) -> str:
        """Nothing is needed."""
        return ""

    def command(self) -> list[str]:
        """There is none."""
        raise NotImplementedError

    def start(self) -> None:
        """Take the port of the application."""
        self.port = self.origin_port

    def stop(self) -> None:
        """Nothing was started."""


class CompanionWithCap(Companion):
    """The companion with ``upstream_connections`` at the number of workers."""

    name = f"{COMPANION}, upstream_connections"

    def further(self) -> str:
        """The cap."""
        return f"[limits]\nupstream_connections = {self.origin_workers}"


class HAProxyWithCap(HAProxy):
    """HAProxy with ``maxconn`` at the server, at the number of workers."""

    name = "HAProxy, maxconn"

    def server_options(self) -> str:
        """The cap."""
        return f" maxconn {self.origin_workers}"


class NginxWithoutKeepalive(NginxPlain):
    """nginx as it is without the directive ``keepalive``: a new connection to the application for each request."""

    name = "nginx, without keepalive"
    kept = ""


#: In the order in which they run; ratios are against the best of the proxies that are not this project's.
FRONTS: tuple[type[Peer], ...] = (
    *(Direct, Companion, CompanionWithCap, HAProxy, HAProxyWithCap, NginxPlain, NginxWithoutKeepalive),
)
OURS = (Companion, CompanionWithCap)
OTHERS = (HAProxy, HAProxyWithCap, NginxPlain, NginxWithoutKeepalive)

"""``twisted.web.proxy.ReverseProxyResource``: what Twisted has for the purpose. It passes on, and captures nothing."""

from __future__ import annotations

import twisted
from bench.peers.interface import Peer
from bench.targets import TWISTED


class TwistedWeb(Peer):
    """A site with that resource at its root; a connection of its own to the application for each request."""

    name = TWISTED
    tagged = False
    share = 0.3

    @classmethod
    def missing(cls) -> str:
        """Do nothing: the companion needs Twisted, too."""
        return ""

    @classmethod
    def version(cls) -> str:
        """Twisted's."""
        return twisted.__version__

    def command(self) -> list[str]:
        """The module, by this very Python."""
        return self.python_command("-m", "bench.proxies.twisted_web", str(self.port), str(self.origin_port))

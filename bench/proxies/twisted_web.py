"""A site with twisted.web's ReverseProxyResource at its root: ``python -m bench.proxies.twisted_web PORT ORIGIN``."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import Site


def main() -> None:
    """Serve until a signal ends it."""
    port, origin_port = int(sys.argv[1]), int(sys.argv[2])
    site = Site(ReverseProxyResource("127.0.0.1", origin_port, b""))
    reactor.listenTCP(port, site, backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()

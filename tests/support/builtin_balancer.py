"""The demo's built-in balancer as a program: ``python -m tests.support.builtin_balancer PORT NAME=PORT...``."""

from __future__ import annotations

import sys

from twisted.internet import reactor

from lbcompanion.demo.backends import Backend, one_shot_agent
from lbcompanion.demo.balancer import DemoBalancer

if __name__ == "__main__":
    backends = [Backend(name, f"127.0.0.1:{port}") for name, _, port in (one.partition("=") for one in sys.argv[2:])]
    reactor.listenTCP(int(sys.argv[1]), DemoBalancer(backends, one_shot_agent(reactor)).site(), interface="127.0.0.1")
    reactor.run()

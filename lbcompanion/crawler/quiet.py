"""A web server's factory that writes no access log: addresses here hold whole tokens, and no log may."""

from __future__ import annotations

from twisted.web.http import Request
from twisted.web.server import Site


class QuietSite(Site):
    """Says nothing of requests, nor of its own coming and going, and shows no tracebacks."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Nothing."""

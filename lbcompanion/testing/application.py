"""The application of a farm in memory: every page is made once, and entered in a ledger. Independent of the
companions: Twisted's own web server.
"""

from __future__ import annotations

import gzip

from attrs import define, field, frozen
from twisted.web.resource import Resource
from twisted.web.server import Request

from lbcompanion.testing.network import Host
from lbcompanion.web import QuietSite

#: The header by which a visitor names the visit.
VISIT = "X-Visit"
#: What the application calls its session, and its protection against forged forms.
SESSION, FORGERY = "sess", "csrftoken"


@frozen
class Served:
    """A page as the application made it.

    :ivar body: before any content coding.
    """

    visit: str
    node: str
    method: str
    body: bytes = field(repr=False)


@define
class Ledger:
    """All pages, by visit; of those that were asked for without one, the last.

    :ivar made: how many pages were made.
    :ivar sessions: how many sessions were begun.
    :ivar of_visitors: the numbers of those that were begun by visits; others are the crawler's own.
    """

    pages: dict[str, Served] = field(factory=dict)
    made: int = 0
    sessions: int = 0
    of_visitors: list[int] = field(factory=list)

    def secrets(self) -> list[bytes]:
        """The values of all sessions and all forgery protections given to visitors."""
        return [text(number) for number in self.of_visitors for text in (session, forgery)]


def session(number: int) -> bytes:
    """The value of a session cookie."""
    return b"hush-session-%d-" % number + b"s" * 12


def forgery(number: int) -> bytes:
    """The value of the cookie against forged forms."""
    return b"hush-forgery-%d-" % number + b"f" * 12


class _Application(Resource):
    isLeaf = True

    def __init__(self, node: str, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._node = node
        self._ledger = ledger

    def render(self, request: Request) -> bytes:
        path = request.path.decode("latin-1")
        if path.startswith("/static/"):
            request.setHeader("content-type", "text/css")
            return f"/* of {self._node} */".encode()
        return self._page(request, path)

    def _page(self, request: Request, path: str) -> bytes:
        ledger = self._ledger
        ledger.made += 1
        visit = request.getHeader(VISIT) or ""
        method = request.method.decode()
        sheet = f"<link rel=stylesheet href=/static/{self._node}.css>" if path.startswith("/styled/") else ""
        body = (
            f"<!doctype html><html><head><meta charset=utf-8><title>{ledger.made}</title>{sheet}</head>"
            f"<body>{self._node} made page {ledger.made} for {visit} by {method}</body></html>"
        ).encode()
        if method != "HEAD":
            ledger.pages[visit] = Served(visit, self._node, method, body)
        if not request.getCookie(SESSION.encode()):
            ledger.sessions += 1
            if visit:
                ledger.of_visitors.append(ledger.sessions)
            request.addCookie(SESSION, session(ledger.sessions).decode(), path="/", httpOnly=True)
            request.addCookie(FORGERY, forgery(ledger.sessions).decode(), path="/")
        request.setHeader("content-type", "text/html")
        if path.startswith("/coded/"):
            request.setHeader("content-encoding", "gzip")
            body = gzip.compress(body, mtime=0)
        if not path.startswith("/chunked/"):
            request.setHeader("content-length", str(len(body)))
        request.write(body[:20])
        return body[20:]


def application(node: str, ledger: Ledger, host: Host) -> None:
    """Run the application of one node at port 8000 of a host."""
    site = QuietSite(_Application(node, ledger), reactor=host)  # type: ignore[no-untyped-call]
    host.listenTCP(8000, site)

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
SESSION_COOKIE, CSRF_COOKIE = "sess", "csrftoken"


@frozen
class ServedPage:
    """A page as the application made it.

    :ivar body: before any content coding.
    """

    visit: str
    node: str
    method: str
    body: bytes = field(repr=False)


@define
class ApplicationLog:
    """All pages, by visit; of those that were asked for without one, the last.

    :ivar page_count: how many pages were made.
    :ivar session_count: how many sessions were begun.
    :ivar visitor_sessions: the numbers of those that were begun by visits; others are the crawler's own.
    """

    pages: dict[str, ServedPage] = field(factory=dict)
    page_count: int = 0
    session_count: int = 0
    visitor_sessions: list[int] = field(factory=list)

    def secrets(self) -> list[bytes]:
        """The values of all sessions and all forgery protections given to visitors."""
        return [text(number) for number in self.visitor_sessions for text in (session_id, csrf_token)]


def session_id(number: int) -> bytes:
    """The value of a session cookie."""
    return b"hush-session-%d-" % number + b"s" * 12


def csrf_token(number: int) -> bytes:
    """The value of the cookie against forged forms."""
    return b"hush-forgery-%d-" % number + b"f" * 12


class _Application(Resource):
    isLeaf = True

    def __init__(self, node: str, log: ApplicationLog) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._node = node
        self._log = log

    def render(self, request: Request) -> bytes:
        path = request.path.decode("latin-1")
        if path.startswith("/static/"):
            request.setHeader("content-type", "text/css")
            return f"/* of {self._node} */".encode()
        return self._page(request, path)

    def _page(self, request: Request, path: str) -> bytes:
        log = self._log
        log.page_count += 1
        visit = request.getHeader(VISIT) or ""
        method = request.method.decode()
        stylesheet = f"<link rel=stylesheet href=/static/{self._node}.css>" if path.startswith("/styled/") else ""
        body = (
            f"<!doctype html><html><head><meta charset=utf-8><title>{log.page_count}</title>{stylesheet}</head>"
            f"<body>{self._node} made page {log.page_count} for {visit} by {method}</body></html>"
        ).encode()
        if method != "HEAD":
            log.pages[visit] = ServedPage(visit, self._node, method, body)
        if not request.getCookie(SESSION_COOKIE.encode()):
            log.session_count += 1
            if visit:
                log.visitor_sessions.append(log.session_count)
            request.addCookie(SESSION_COOKIE, session_id(log.session_count).decode(), path="/", httpOnly=True)
            request.addCookie(CSRF_COOKIE, csrf_token(log.session_count).decode(), path="/")
        request.setHeader("content-type", "text/html")
        if path.startswith("/coded/"):
            request.setHeader("content-encoding", "gzip")
            body = gzip.compress(body, mtime=0)
        if not path.startswith("/chunked/"):
            request.setHeader("content-length", str(len(body)))
        request.write(body[:20])
        return body[20:]


def application(node: str, log: ApplicationLog, host: Host) -> None:
    """Run the application of one node at port 8000 of a host."""
    site = QuietSite(_Application(node, log), reactor=host)  # type: ignore[no-untyped-call]
    host.listenTCP(8000, site)

"""The application of an in-memory farm: makes every page once and records it. It runs in Twisted's web server,
independent of the companions.
"""

from __future__ import annotations

import gzip

from attrs import define, field, frozen
from twisted.web.resource import Resource
from twisted.web.server import Request

from lbcompanion.testing.network import Host
from lbcompanion.web import QuietSite

#: The request header with the visit's id.
VISIT = "X-Visit"
#: Names of the session cookie and of the CSRF cookie.
SESSION_COOKIE, CSRF_COOKIE = "sess", "csrftoken"


@frozen
class ServedPage:
    """A page, as the application made it.

    :ivar body: its bytes before any content coding.
    """

    visit: str
    node: str
    method: str
    body: bytes = field(repr=False)


@define
class ApplicationLog:
    """All pages by visit; of requests without a visit only the last one.

    :ivar page_count: the number of pages made.
    :ivar session_count: the number of sessions begun.
    :ivar visitor_sessions: the numbers of sessions begun by visits; the others are the crawler's.
    """

    pages: dict[str, ServedPage] = field(factory=dict)
    page_count: int = 0
    session_count: int = 0
    visitor_sessions: list[int] = field(factory=list)

    def secrets(self) -> list[bytes]:
        """Return the values of all session and CSRF cookies given to visitors."""
        return [text(number) for number in self.visitor_sessions for text in (session_id, csrf_token)]


def session_id(number: int) -> bytes:
    """Return the value of a session cookie."""
    return b"hush-session-%d-" % number + b"s" * 12


def csrf_token(number: int) -> bytes:
    """Return the value of a CSRF cookie."""
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

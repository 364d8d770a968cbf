"""The demo's application: a small shop, one instance for each node. It does not know the companion.

Sessions live on the node that made them, which is why its balancer has to be sticky; pages are random, stand behind a
login, or answer a POST, which is why nobody can fetch them a second time.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Callable
from html import escape

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.demo import pages
from lbcompanion.demo.served_pages import ServedPages
from lbcompanion.loops import SteadyLoop
from lbcompanion.web import QuietSite

SESSION_COOKIE = b"DEMOSESSION"
#: Names the visitor's browser for a year, at all nodes.
CUSTOMER_COOKIE = "DEMOCUSTOMER"
_YEAR_SECONDS = 365 * 86400
#: The header in which a simulated visitor names its page view.
VISIT_HEADER = "X-Demo-Visit"
_PIECES = 5
_PIECE_SECONDS = 0.02
_CATALOGUE_ROWS = 1500
_MAX_DIGITS = 10


class Shop(Resource):
    """The application of one node.

    :param node: the node's name.
    :param version: what is deployed there; shown on pages and in assets.
    :param served_pages: the record of all pages.
    """

    isLeaf = True

    def __init__(self, node: str, version: str, served_pages: ServedPages, reactor: IReactorTime) -> None:
        Resource.__init__(self)
        self._node = node
        self._version = version
        self._ledger = served_pages
        self._reactor = reactor
        self._sessions: dict[bytes, str] = {}
        self._gets: dict[str, Callable[[Request, str], int | bytes]] = {
            "": self._home,
            "orders": self._orders,
            "order": self._order_page,
            "catalogue": self._catalogue,
            "article": self._article,
            "report": self._report,
            "ticker": self._ticker,
            "search": self._search_form,
        }
        self._posts: dict[str, Callable[[Request, str], int | bytes]] = {
            "search": self._search_results,
            "order": self._order_confirmation,
        }

    def site(self) -> Site:
        """The factory to listen with."""
        return QuietSite(self, requestFactory=Request)  # type: ignore[no-untyped-call]

    def deploy(self, version: str) -> None:
        """Restart with another version: all sessions end."""
        self._version = version
        self._sessions.clear()

    def render(self, request: Request) -> int | bytes:
        """Answer one request."""
        path = (request.path or b"/").decode("latin-1")
        page = pages.asset(path, self._node, self._version)
        if page is not None:
            request.setHeader(b"Content-Type", page[0])
            request.setHeader(b"Cache-Control", b"max-age=300")
            return page[1]
        if path == "/healthz":
            request.setHeader(b"Content-Type", b"text/plain")
            return b"ok\n"
        self._recognize(request)
        if path == "/login":
            return self._login(request)
        visitor = self._sessions.get(request.getCookie(SESSION_COOKIE) or b"")
        handlers = self._posts if request.method == b"POST" else self._gets
        handler = handlers.get(path.split("/")[1])
        if handler is None:
            return self._send(request, "Nothing here", "<p>No such page.</p>", 404)
        return self._redirect(request, b"/login") if visitor is None else handler(request, visitor)

    def _recognize(self, request: Request) -> None:
        if request.getCookie(CUSTOMER_COOKIE.encode()) is None:
            customer, age = secrets.token_urlsafe(16), str(_YEAR_SECONDS).encode()
            request.addCookie(CUSTOMER_COOKIE, customer, path=b"/", max_age=age, httpOnly=True, sameSite=b"lax")

    def _redirect(self, request: Request, location: bytes) -> bytes:
        request.setResponseCode(303)
        request.setHeader(b"Location", location)
        return b""

    def _login(self, request: Request) -> int | bytes:
        if request.method != b"POST":
            return self._send(request, "Log in", pages.LOGIN_FORM.format(hint="Any name and password will do."))
        name = _form_field(request, b"name")
        if not name or not _form_field(request, b"password"):
            return self._send(request, "Log in", pages.LOGIN_FORM.format(hint="A name and a password, please."))
        session = secrets.token_urlsafe(16).encode()
        self._sessions[session] = name
        request.addCookie(SESSION_COOKIE, session, path=b"/", httpOnly=True, sameSite=b"lax")
        return self._redirect(request, b"/")

    def _home(self, request: Request, visitor: str) -> bytes:
        body = f"<p>Hello {escape(visitor)}, you have {secrets.randbelow(90) + 2} messages. For you today:</p>"
        chosen = secrets.SystemRandom().sample(range(len(pages.ARTICLES)), 6)
        return self._send(request, "Home", body + pages.goods(chosen, self._version))

    def _orders(self, request: Request, visitor: str) -> bytes:
        return self._send(request, f"Orders of {visitor}", pages.rows(_random_numbers(25), "order"))

    def _order_page(self, request: Request, visitor: str) -> bytes:
        return self._send(request, "Order", f"<p>{escape(visitor)} pays {secrets.randbelow(10000) / 100:.2f}.</p>")

    def _article(self, request: Request, visitor: str) -> bytes:
        number = request.path.decode("latin-1").rpartition("/")[2]
        chosen = int(number) if number.isascii() and number.isdecimal() and len(number) < _MAX_DIGITS else 0
        name = pages.ARTICLES[chosen % len(pages.ARTICLES)].name
        return self._send(request, name, pages.article_page(chosen, secrets.randbelow(500), visitor, self._version))

    def _catalogue(self, request: Request, visitor: str) -> bytes:
        return self._send(request, "Catalogue", pages.rows(_random_numbers(_CATALOGUE_ROWS), "article"))

    def _search_form(self, request: Request, visitor: str) -> bytes:
        return self._send(request, "Search", pages.SEARCH_FORM)

    def _search_results(self, request: Request, visitor: str) -> bytes:
        heading = f"<p>Found for <q>{escape(_form_field(request, b'q'))}</q>:</p>"
        return self._send(request, "Results", heading + pages.rows(_random_numbers(8), "article"))

    def _order_confirmation(self, request: Request, visitor: str) -> bytes:
        number, article = secrets.randbelow(10**9), escape(_form_field(request, b"article"))
        return self._send(request, "Thank you", f"<p>{escape(visitor)} ordered {article}, number {number:09}.</p>")

    def _report(self, request: Request, visitor: str) -> bytes:
        """Send a page that the application compresses itself."""
        body = self._record_page(request, "Report", pages.rows(_random_numbers(200), "order"))
        if b"gzip" not in (request.getHeader(b"Accept-Encoding") or b""):
            return body
        request.setHeader(b"Content-Encoding", b"gzip")
        return gzip.compress(body, 6, mtime=0)

    def _ticker(self, request: Request, visitor: str) -> int:
        """Send a page of unknown length in pieces."""
        body = self._record_page(request, "Ticker", pages.rows(_random_numbers(60), "article"))
        step = len(body) // _PIECES + 1
        self._send_pieces(request, [body[at : at + step] for at in range(0, len(body), step)])
        return NOT_DONE_YET

    def _send_pieces(self, request: Request, pieces: list[bytes]) -> None:
        rest = iter(pieces)

        def send() -> None:
            piece = next(rest, None)
            if piece is None:
                ticking.stop()
                request.finish()
            else:
                request.write(piece)

        def left(_: Failure) -> None:
            ticking.stop()

        ticking = SteadyLoop(send, name="ticker", clock=self._reactor)
        request.notifyFinish().addErrback(left)
        ticking.start(_PIECE_SECONDS)

    def _record_page(self, request: Request, title: str, body: str, status: int = 200) -> bytes:
        """Make a page and record it."""
        page = pages.page(title, body, self._node, self._version, secrets.token_hex(16))
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        request.setHeader(b"Cache-Control", b"private, no-cache")
        request.setHeader(b"Vary", b"Cookie, Accept-Encoding")
        if request.method != b"HEAD":
            visit = request.getHeader(VISIT_HEADER) or ""
            method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
            self._ledger.add(visit, self._node, method, path, status, page)
        return page

    def _send(self, request: Request, title: str, body: str, status: int = 200) -> bytes:
        return self._record_page(request, title, body, status)


def _form_field(request: Request, name: bytes) -> str:
    """Return a form field's text; empty if it was not sent."""
    values: list[bytes] = (request.args or {}).get(name, [])
    return values[0].decode("utf-8", "replace")[:200] if values else ""


def _random_numbers(count: int) -> list[int]:
    return [secrets.randbelow(10**8) for _ in range(count)]

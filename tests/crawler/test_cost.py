"""The cost of one message for the crawler: 60 KB of whatever a visitor, a page, a balancer or a hostile node repeats
cost little CPU time on the event loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import treq
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.intake import Intake, IntakeLimits, intake_site
from lbcompanion.crawler.crawl.requisites import style_sheet_links
from lbcompanion.crawler.fetching.cookie_check import CookieCheckClient
from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed, Reply
from lbcompanion.crawler.fetching.site_addresses import archived_address
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.crawler.routes.visitor_cookies import note_values
from lbcompanion.html.requisite_links import page_links
from lbcompanion.http1.freshness import FIELDS as FRESHNESS_FIELDS
from lbcompanion.http1.freshness import StoredHead
from lbcompanion.model import Loss, RoutingCookie
from lbcompanion.protocol import tokens
from lbcompanion.protocol.signatures import Signer
from lbcompanion.settings import SiteSettings, StickyTable
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState
from tests.support.cpu_cost import ELEMENTS, MESSAGE_BYTES, check_cost, check_growth, repeated
from tests.support.simulated_farm import ORIGIN, SECRET, SimulatedFarm

pytestmark = pytest.mark.slow

NOW = 1_795_468_200.0
#: Fields whose value the crawler reads in a response.
FIELDS = (
    "Content-Type", "Lbc-Captured-At", "Lbc-Node", "Lbc-Page-Url", "Lbc-Proof", "Location", "Repr-Digest",
    "Retry-After", "Set-Cookie",
)  # fmt: skip
#: What a hostile node writes besides the lists of all messages.
MORE = (
    "Mon, 23 Nov 2026 21:10:30 GMT", "http://www.example.com/_lbc/whoami", "/x/..", "sha-256=:", "SRV=n1; Max-Age=1",
    "SRV{}=n1; Expires=01-Jan-2027", "1-Jan-", "%0d%0a", "9", "../", "@", ":", "[", "\xe9", "xn--", "a.", "~", "{}~",
)  # fmt: skip
PAGE = (
    "<", "<a", "<a b=", '<a b="', "<!--", "<!---->", "</", "&", "&amp", "&#38;", "<![CDATA[", "<svg>", "<style>",
    "<script>", "<img src=/a{}>", "<img src='http://x/{}'>", "<img srcset='/a{} 1x, /b 2x'>", "<base href=/a{}>",
    "<link rel=stylesheet href={}>", "<link rel='a a a' href=b>", "<iframe srcdoc='<img src=a>'>", "<iframe srcdoc='",
    "<p style='background:url(/a{})'>", "<p style=\"a:'\">", "<svg><use href=#{}>", "<img src=' \\\\..\\\\'>", "\xe9",
    "<img src=../{}>", "<meta charset=utf-8>", "<input src=?{}>", "<td background={}>", "<title>", "<plaintext>",
)  # fmt: skip
SRCSET = (
    ",", " ", "a", "a,", "a 1x,", "a{} 1x, ", "a (", "a (1x, ", "(", ")", "a 1w 1h, ", "1x ", "a 1e9x,", "a -", "\t",
    "a 1w 1w 1w ",
)  # fmt: skip
CSS = (
    "a", "\\", "\\a", "\\a ", "/*", "*/", "/**/", "/", '"', '"a"', "'\\\n", "url(", "url(a", "url(a)", "url('a{}')",
    "url(a b)", "url(\\)", "@import", "@import 'a{}';", "@import url(", "@charset \"a\";", "image-set('a{}' 1x)", "(",
    "{", "}", ")", "a(", "src(", "<!--", "-->", "@", "#", "@namespace 'a';", "url( ", "a:url(b{});", "\xe9", "-",
)  # fmt: skip


def values() -> Iterator[tuple[str, str]]:
    for element in (*ELEMENTS, *MORE):
        for separator in ("", "; "):
            value = repeated(element, separator, MESSAGE_BYTES).decode("utf-8", "replace")
            yield f"{element!r} joined by {separator!r}", value


class Answers(CookieCheckClient):
    """A client that gives each request the same answer, with the proof of a node.

    :ivar fields: what the node sends besides.
    """

    def __init__(self) -> None:
        super().__init__(None, Clock(), 20.0)
        self.status = 200
        self.fields: tuple[tuple[str, str], ...] = ()

    async def _ask(self, method: str, url: str, headers: Any, max_bytes: int, body: bytes, route: str) -> Reply:
        page, digest = b"<p>page", ""
        token = url.partition("/page/")[2]
        if token:
            digest = tokens.repr_digest(tokens.digest_of(page))
        own = (
            *(("lbc-node", "n1"), ("lbc-proof", tokens.proof(SECRET, "n1", token, "nonce", digest))),
            *((("repr-digest", digest),) if digest else ()),
        )
        return Reply(self.status, (*self.fields, *own), page)


class Asked:
    """All that the crawler asks through a balancer, and what it does with the answers."""

    def __init__(self) -> None:
        self.client, self.routes = Answers(), Routes([])
        site = SiteSettings("main", ORIGIN, sticky=StickyTable())
        self.fetcher = SiteFetcher(
            site=site, secret=SECRET, balancer=self.client, direct=self.client, nonce=lambda: "nonce", now=lambda: NOW
        )
        self.minter = Minter(
            fetcher=self.fetcher,
            reader=CookieReader(site.sticky),
            routes=self.routes,
            save_route=lambda _route: None,
            now=lambda: NOW,
            new_key=lambda: "key",
        )
        self.site = site

    def ask(self, status: int, *fields: tuple[str, str]) -> None:
        self.client.status, self.client.fields = status, fields
        Deferred.fromCoroutine(self._ask()).addErrback(lambda failure: failure.trap(FetchFailed))

    async def _ask(self) -> None:
        self.fetcher.site_pause.__init__(lambda: NOW)  # type: ignore[misc]
        sent = (RoutingCookie("SRV", "n1"),)
        copy = await self.fetcher.page("token", FetchPath(sent))
        if copy.node:
            self.routes.put(Route("main", "n1", sent, "", RouteState.CANDIDATE, NOW))
            self.minter.refresh_cookies("n1", sent, copy.set_cookies)
            self.minter.add_candidate("n1", copy.set_cookies)
            archived_address(getattr(copy, "url", ""), self.site)
        await self.fetcher.whoami(FetchPath(sent))


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_response(name: str) -> None:
    asked = Asked()
    for what, value in values():
        for status in {"Location": (302,), "Set-Cookie": (200, 404, 302), "Retry-After": (429,)}.get(name, (200,)):
            fields = ((name.lower(), value),)
            more = (("location", "/_lbc/page/token"),) if status == 302 and name == "Set-Cookie" else ()
            check_cost(f"{status}, {name}: {what}", lambda: asked.ask(status, *fields, *more))  # noqa: B023


@pytest.mark.parametrize("element", [*ELEMENTS, *MORE])
def test_many_lines_of_a_response(element: str) -> None:
    asked = Asked()
    count = MESSAGE_BYTES // (len(element) + len("Set-Cookie: \r\n"))
    for name in ("set-cookie", "retry-after", "lbc-page-url", "x-whatever"):
        lines = tuple((name, element.format(number)) for number in range(count))
        for status in (200, 404, 302):
            location = (("location", "/_lbc/page/token"),)
            check_cost(f"{count} lines {name}: {element}", lambda: asked.ask(status, *lines, *location))  # noqa: B023


@pytest.mark.parametrize("element", PAGE)
def test_links_of_a_page(element: str) -> None:
    """Pages are read in another thread; it holds the interpreter all the same."""

    def page(size: int) -> Any:
        body = b"<!DOCTYPE html><html><head><title>a</title></head><body>" + repeated(element, "", size)
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"{element!r} in a page", page, 40_000)


@pytest.mark.parametrize("element", ["a", "a/", "../", "%2e/", "\xe9", "&#97;", "<base href=/{}>"])
def test_a_long_base(element: str) -> None:
    def page(size: int) -> Any:
        links = b"".join(b"<img src=%d>" % number for number in range(size // 30))
        body = b'<base href="/' + repeated(element, "", size // 2) + b'">' + links
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"a base of {element!r}", page, 40_000)


@pytest.mark.parametrize("name", sorted(FRESHNESS_FIELDS))
def test_a_field_of_a_file(name: str) -> None:
    def judge(value: str) -> None:
        head = StoredHead(200, ((name, value),), NOW, NOW)
        head.is_fresh(NOW)
        head.may_be_stored()
        head.conditions()
        head.freshened(head)

    for what, value in values():
        check_cost(f"{name}: {what}", lambda: judge(value))  # noqa: B023


@pytest.mark.parametrize("element", SRCSET)
def test_a_srcset(element: str) -> None:
    def page(size: int) -> Any:
        body = b'<img srcset="' + repeated(element, "", size) + b'"><img src=b>'
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"{element!r} in a srcset", page, 40_000)


@pytest.mark.parametrize("element", CSS)
def test_a_style_sheet(element: str) -> None:
    def sheet(size: int) -> Any:
        body = b"".join(element.replace("{}", str(number)).encode() for number in range(size // len(element)))
        requisite = Requisite("http://www.example.com/a.css", "text/css", b"", body)
        return lambda: style_sheet_links(requisite, "utf-8")

    check_growth(f"{element!r} in a style sheet", sheet, 40_000)


def test_a_page_address() -> None:
    site = SiteSettings("main", ORIGIN)
    for what, value in values():
        for text in (f"{ORIGIN}/{value}", f"http://{value}/", f"{ORIGIN}/?{value}", f"http://{value}@www.example.com/"):
            check_cost(f"an address with {what}", lambda: archived_address(text.replace(" ", "+"), site))  # noqa: B023


class Delivered:
    """An intake that notes the values of cookies; nothing is stored."""

    def __init__(self) -> None:
        farm = SimulatedFarm()
        self.token, self.now, self.routes = farm.nodes["n1"].capture(b"x"), farm.now, Routes([])
        intake = Intake(
            secret=SECRET,
            sites=farm.settings().sites,
            accept=self._accept,
            now=farm.now,
            count_notices=lambda _what, _number: None,
        )
        agent = RequestTraversalAgent(Resource())
        agent._serverFactory = intake_site(intake, IntakeLimits(Clock()))
        self.http = HTTPClient(agent, data_to_body_producer=_SynchronousProducer)
        self.statuses: set[int] = set()

    def _accept(self, arrivals: list[Arrival], losses: list[Loss]) -> Deferred[int]:
        note_values(self.routes, arrivals)
        for arrival in arrivals:
            cookies = [RoutingCookie(*pair) for pair in arrival.notice.cookies.items()]
            for cookie in cookies[:100]:
                self.routes.node_cookie_values.belongs_to_node(arrival.site, arrival.owner, cookie)
        return succeed(len(arrivals))

    def deliver(self, body: bytes) -> None:
        url = "http://crawler.local/notices"
        headers = {name: [value] for name, value in Signer(SECRET).sign("POST", url, "n0nce", self.now(), body)}
        got: list[Any] = []
        asking = self.http.request("POST", url, headers=headers, data=body, reactor=Clock(), unbuffered=True)
        asking.addCallback(lambda response: treq.content(response).addCallback(lambda _b: got.append(response.code)))
        self.statuses.update(got)


def test_a_delivery() -> None:
    delivered = Delivered()
    entry = {
        "token": delivered.token, "url": f"{ORIGIN}/", "cookies": {}, "by": "browser", "page_url": f"{ORIGIN}/",
        "viewed_at": "2026-11-23T21:10:00Z", "noticed_at": "2026-11-23T21:10:00Z", "visitor": "v",
    }  # fmt: skip
    bodies = [b"[" * MESSAGE_BYTES, b'{"a":' * 12_000, b'"' + b"\\u0041" * 9_000 + b'"', b"1" * MESSAGE_BYTES]
    bodies += [b"\xff" * MESSAGE_BYTES, json.dumps({"notices": [entry] * 200}).encode()]
    bodies.append(json.dumps({"notices": [], "lost": [{"token": delivered.token, "reason": "x"}] * 600}).encode())
    for element in (*ELEMENTS, *MORE):
        many = [element.format(number) for number in range(4000)]
        url = "".join(many)[:MESSAGE_BYTES].replace(" ", "+").replace("\t", "+")
        cookies = {name[:99]: "http://x" for name in dict.fromkeys(many[:1000])}
        for change in (
            {"cookies": cookies},
            {"cookies": {f"a{number}": url[:4000] for number in range(14)}},
            {"url": f"{ORIGIN}/{url}"},
            {"page_url": f"{ORIGIN}/{url}"},
            {"page_url": f"http://{url}/"},
        ):
            bodies.append(json.dumps({"notices": [{**entry, **change}]}, ensure_ascii=False).encode())
    for body in bodies:
        check_cost(f"a delivery that begins with {body[:300]!r}", lambda: delivered.deliver(body))  # noqa: B023
    assert delivered.statuses == {202, 400}

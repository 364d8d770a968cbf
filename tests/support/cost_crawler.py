"""A crawler whose cost for one message is measured, and what nodes, balancers and pages may repeat in a message."""

from __future__ import annotations

from typing import Any

import treq
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from lbcompanion.crawler.crawl.intake import Intake, IntakeLimits, intake_site
from lbcompanion.crawler.fetching.cookie_check import CookieCheckClient
from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed, Reply
from lbcompanion.crawler.fetching.site_addresses import archived_address
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.crawler.routes.visitor_cookies import note_values
from lbcompanion.model import Loss, RoutingCookie
from lbcompanion.protocol import tokens
from lbcompanion.protocol.signatures import Signer
from lbcompanion.settings import SiteSettings, StickyTable
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState
from tests.support.simulated_farm import ORIGIN, SECRET, SimulatedFarm

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
    "<p a=b", "<p a='", '<p a="&', "<p a b ", "<p a", " a=b", "</p", "<p\n\n", "<p a='b'", "<svgx", "<scriptx a=b>",
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


class CostFetcher:
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


class CostIntake:
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

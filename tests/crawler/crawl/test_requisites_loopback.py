"""The files of pages over real connections: conditional requests, encodings, a server that loses connections."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.crawler.crawl.requisite_source import RequisiteSource
from lbcompanion.crawler.crawl.requisites import Gathered, Requisites
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.model import RoutingCookie
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import RequisitesTable, SiteSettings
from lbcompanion.sticky.reader import CookieReader

pytestmark = pytest.mark.network

LIMITS = RequisitesTable()


class Application(Resource):
    """Serves style sheets with entity tags."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.most_running = self.running = 0
        self.lost = 0
        self.body = b"x{background:url(/font.png?\xe6)}"

    def render(self, request: Request) -> Any:
        self.asked.append(request.uri.decode("latin-1"))
        if self.lost:
            self.lost -= 1
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setHeader(b"content-type", b"text/css; charset=windows-1251")
        if request.setETag(b'"%d"' % hash(self.body)) is CACHED:
            self.statuses[304] += 1
            return b""
        self.statuses[200] += 1
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        reactor.callLater(0.01, self._finish, request)  # type: ignore[attr-defined]
        return NOT_DONE_YET

    def _finish(self, request: Request) -> None:
        self.running -= 1
        request.write(self.body)
        request.finish()


class LoopbackTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.application = Application()
        self.site = Site(self.application)
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.origin = f"http://127.0.0.1:{self.port.getHost().port}"
        self.later = 0.0
        client = Client(agent_for(reactor), reactor, 20)
        self.settings = SiteSettings("main", self.origin)
        self.fetcher = SiteFetcher(
            site=self.settings, secret=b"s", balancer=client, direct=client, nonce=lambda: "n", now=self.now
        )
        self.requisites = self.new(LIMITS)

    def tearDown(self) -> Deferred[Any]:
        return maybeDeferred(self.port.stopListening)

    def now(self) -> float:
        return time.time() + self.later

    def new(self, limits: RequisitesTable) -> Requisites:
        source = RequisiteSource(self.now, lambda seconds: deferLater(reactor, seconds), limits)
        return Requisites(source, self.now, limits)

    def gather(self, markup: str, node: str = "n1", charset: str = "windows-1251") -> Deferred[Gathered]:
        body = markup.encode(charset)
        copy = FetchedCopy(
            node=node, url=f"{self.origin}/page", method="GET", status=200,
            content_type=f"text/html; charset={charset}", captured_at=self.now(), via="own",
            sha256=digest_of(body), body=body,
        )  # fmt: skip
        fetch_path = FetchPath((RoutingCookie("SRV", node),))
        reader = CookieReader(self.settings.sticky)
        return Deferred.fromCoroutine(self.requisites.gather(self.fetcher, reader, copy, fetch_path))

    async def test_a_file_is_requested_once_and_then_validated(self) -> None:
        markup = "".join(f"<link rel=stylesheet href=/{number}.css>" for number in range(5))
        for _ in range(3):
            found = await gatherResults([self.gather(markup, f"n{number % 2}") for number in range(10)])
            self.assertEqual({len(each.files) for each in found}, {6})
        self.assertEqual(self.application.statuses, {200: 12})
        self.later = LIMITS.fresh_seconds
        again = await self.gather(markup, "n1")
        self.assertEqual([each.body for each in again.files], [self.application.body] * 6)
        self.assertEqual(self.application.statuses, {200: 12, 304: 6})
        self.application.body = b"y{}"
        self.later *= 2
        changed = await self.gather(markup, "n1")
        self.assertEqual({each.body for each in changed.files}, {b"y{}"})

    async def test_urls_are_sent_as_browsers_send_them(self) -> None:
        found = await self.gather(
            '<link rel=stylesheet href="/\u0436.css?\u0436"><img src="/a.png?\u20ac&#8364;&#960;">'
        )
        self.assertEqual(
            sorted(self.application.asked),
            ["/%D0%B6.css?%E6", "/a.png?%88%88%26%23960%3B", "/font.png?%E6"],
        )
        self.assertEqual(len(found.files), 3)

    async def test_a_lost_connection_is_no_lost_file(self) -> None:
        self.application.lost = 2
        found = await self.gather("<link rel=stylesheet href=/a.css>")
        self.assertEqual(found.report.missing, ())
        self.assertEqual(self.application.asked.count("/a.css"), 3)

    async def test_a_node_gets_few_requests_at_a_time(self) -> None:
        self.requisites = self.new(evolve(LIMITS, per_node=3))
        self.application.body = b"x"
        pages = ["".join(f"<img src=/{page}/{number}>" for number in range(8)) for page in range(6)]
        found = await gatherResults([self.gather(page) for page in pages])
        self.assertEqual({len(each.files) for each in found}, {8})
        self.assertLessEqual(self.application.most_running, 3)

"""The demo's application: its ledger is true, its sessions are its own, its pages exist once."""

from __future__ import annotations

import gzip
from hashlib import sha256

import pytest
from treq.client import HTTPClient
from treq.content import content
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from lbcompanion.demo.application import CUSTOMER_COOKIE, VISIT_HEADER, Shop
from lbcompanion.demo.backends import one_shot_agent
from lbcompanion.demo.served_pages import ServedPages

pytestmark = pytest.mark.network


PATHS = ("/", "/orders", "/order/7", "/catalogue", "/article/8?x=y", "/report", "/ticker", "/search")


class ShopTests(TestCase):
    def setUp(self):
        self.served_pages = ServedPages()
        self.urls = {}
        for node in ("n1", "n2"):
            port = reactor.listenTCP(
                0, Shop(node, f"{node}-v7", self.served_pages, reactor).site(), interface="127.0.0.1"
            )
            self.addCleanup(port.stopListening)
            self.urls[node] = f"http://127.0.0.1:{port.getHost().port}"
        self.agent = one_shot_agent(reactor)
        self.client = HTTPClient(self.agent)

    def get(self, path, visit="", node="n1"):
        headers = {VISIT_HEADER: visit} if visit else {}
        return self.client.get(self.urls[node] + path, headers=headers, reactor=reactor, timeout=60)

    def post(self, path, form, visit=""):
        return self.client.post(
            self.urls["n1"] + path, data=form, headers={VISIT_HEADER: visit}, reactor=reactor, timeout=60
        )

    def log_in(self, visit="login"):
        return self.post("/login", {"name": "anna", "password": "x"}, visit).addCallback(content)

    @inlineCallbacks
    def test_the_ledger_says_what_was_sent(self):
        yield self.log_in()
        for path in PATHS:
            response = yield self.get(path, f"v{path}")
            body = yield content(response)
            (entry,) = self.served_pages.served(f"v{path}")
            on_page = (entry.node, entry.status, entry.sha256, entry.size_bytes)
            assert on_page == ("n1", 200, sha256(body).hexdigest(), len(body))

    @inlineCallbacks
    def test_answers_to_a_post_are_entered_too(self):
        yield self.log_in()
        response = yield self.post("/search", {"q": "<lamp>"}, "s")
        body = yield content(response)
        (entry,) = self.served_pages.served("s")
        assert (entry.method, entry.sha256) == ("POST", sha256(body).hexdigest())
        assert b"&lt;lamp&gt;" in body

    @inlineCallbacks
    def test_a_login_leads_home_and_makes_one_page(self):
        page = yield self.log_in("first")
        assert b"Hello anna" in page
        assert [entry.path for entry in self.served_pages.served("first")] == ["/"]

    @inlineCallbacks
    def test_every_page_exists_once(self):
        yield self.log_in()
        seen = set()
        for _ in range(5):
            response = yield self.get("/orders")
            seen.add((yield content(response)))
        assert len(seen) == 5

    @inlineCallbacks
    def test_a_session_is_not_known_on_another_node(self):
        yield self.log_in()
        here = yield self.get("/orders")
        there = yield self.get("/orders", node="n2")
        assert here.request.absoluteURI == f"{self.urls['n1']}/orders".encode()
        assert there.request.absoluteURI == f"{self.urls['n2']}/login".encode()
        yield content(here)
        yield content(there)

    @inlineCallbacks
    def test_a_browser_keeps_its_customer_number_at_all_nodes(self):
        yield self.log_in()
        numbers = [one.value for one in self.client._cookiejar if one.name == CUSTOMER_COOKIE]
        there = yield self.get("/orders", node="n2")
        yield content(there)
        self.assertEqual([one.value for one in self.client._cookiejar if one.name == CUSTOMER_COOKIE], numbers)
        self.assertEqual(len(numbers), 1)

    @inlineCallbacks
    def test_the_login_form_has_a_password_field(self):
        response = yield self.get("/login")
        body = yield content(response)
        assert b'type="password"' in body

    @inlineCallbacks
    def test_assets_bear_the_version_of_the_node(self):
        for node in self.urls:
            for path in ("/static/style.css", "/static/app.js", "/static/logo.svg"):
                response = yield self.get(path, node=node)
                body = yield content(response)
                assert f"{node}-v7".encode() in body

    @inlineCallbacks
    def test_the_report_is_compressed_where_that_is_accepted(self):
        yield self.log_in()
        cookie = "; ".join(f"{one.name}={one.value}" for one in self.client._cookiejar)
        headers = Headers({"Cookie": [cookie], "Accept-Encoding": ["gzip"], VISIT_HEADER: ["zip"]})
        response = yield Agent(reactor).request(b"GET", f"{self.urls['n1']}/report".encode(), headers)
        body = yield content(response)
        assert response.headers.getRawHeaders("content-encoding") == ["gzip"]
        assert self.served_pages.served("zip")[0].sha256 == sha256(gzip.decompress(body)).hexdigest()

    @inlineCallbacks
    def test_the_ticker_has_no_length(self):
        yield self.log_in()
        response = yield self.client.get(self.urls["n1"] + "/ticker", unbuffered=True, reactor=reactor)
        assert not response.headers.hasHeader("content-length")
        body = yield content(response)
        assert body.endswith(b"</html>\n")

    @inlineCallbacks
    def test_the_catalogue_is_large(self):
        yield self.log_in()
        response = yield self.get("/catalogue")
        body = yield content(response)
        assert len(body) > 80000

    @inlineCallbacks
    def test_head_makes_no_entry(self):
        yield self.log_in()
        response = yield self.client.head(self.urls["n1"] + "/orders", headers={VISIT_HEADER: "h"}, reactor=reactor)
        assert (response.code, self.served_pages.served("h")) == (200, ())

    @inlineCallbacks
    def test_what_there_is_not(self):
        response = yield self.get("/nothing")
        yield content(response)
        assert response.code == 404


class LedgerTests(SynchronousTestCase):
    def test_a_shop_needs_no_reactor_to_be_made(self):
        assert Shop("n1", "1", ServedPages(), Clock()).site() is not None

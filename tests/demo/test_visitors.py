"""Simulated visitors against a small site: they do what a browser and the recorder script would do."""

from __future__ import annotations

import json
from hashlib import sha256
from random import Random

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, inlineCallbacks
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from lbcompanion.demo.visitors import LOGIN, Step, VisitFailed, Visitor, next_step
from lbcompanion.web import QuietSite

pytestmark = pytest.mark.network

TAG = b'<script async src="/_lbc/fetch-from.js?v=1" data-lbc-token="TOKEN" data-lbc-fetch-from="x"></script>'
BARE = b"<html><head></head><body>hello</body></html>"


class SmallSite(Resource):
    isLeaf = True

    def __init__(self):
        Resource.__init__(self)
        self.requested_paths = []
        self.notices = []
        self.tag = TAG
        self.attributes = b""
        self.notice_status = 204

    def render(self, request):
        self.requested_paths.append(request.path.decode())
        if request.path == b"/_lbc/notice":
            self.notices.append((json.loads(request.content.read()), request.getHeader("cookie")))
            request.setResponseCode(self.notice_status)
            return b""
        if request.path == b"/_lbc/fetch-from.js":
            return b""
        if request.path == b"/login" and request.method == b"POST":
            request.redirect(b"/")
            request.setResponseCode(303)
            return b""
        request.responseHeaders.addRawHeader(b"Set-Cookie", b"SRV=n2; path=/" + self.attributes)
        request.responseHeaders.addRawHeader(b"Set-Cookie", b"SESSION=secret; path=/; HttpOnly")
        return BARE.replace(b"</head>", self.tag + b"</head>")


class VisitorTests(TestCase):
    def setUp(self):
        self.site = SmallSite()
        port = reactor.listenTCP(0, QuietSite(self.site), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.visitor = Visitor("anna", self.url, ("SRV",), Random(1), reactor, lambda: 0.5)
        self.addCleanup(lambda: ensureDeferred(self.visitor.close()))

    def view(self, step) -> Deferred[object]:
        return ensureDeferred(self.visitor.view(step, "v1"))

    @inlineCallbacks
    def test_a_view_is_noticed_with_readable_routing_cookies_only(self):
        seen = yield self.view(Step("/orders"))
        ((notice, sent),) = self.site.notices
        assert notice == {
            "token": "TOKEN",
            "url": f"{self.url}/orders",
            "cookies": {"SRV": "n2"},
            "viewed_at": "1970-01-01T00:00:00.500000Z",
        }
        assert "SESSION=secret" in sent
        assert (seen.token, seen.path, seen.status, seen.notice_status) == ("TOKEN", "/orders", 200, 204)

    @inlineCallbacks
    def test_a_script_cannot_read_what_is_httponly(self):
        self.site.attributes = b"; HttpOnly"
        yield self.view(Step("/orders"))
        ((notice, sent),) = self.site.notices
        assert notice["cookies"] == {}
        assert "SRV=n2" in sent

    @inlineCallbacks
    def test_the_page_less_the_tag_is_the_page_as_made(self):
        seen = yield self.view(Step("/orders"))
        assert seen.sha256 == sha256(BARE).hexdigest()

    @inlineCallbacks
    def test_a_page_without_a_tag_is_a_failure(self):
        self.site.tag = b""
        yield self.assertFailure(self.view(Step("/orders")), VisitFailed)

    @inlineCallbacks
    def test_so_is_a_notice_that_is_refused(self):
        self.site.notice_status = 400
        yield self.assertFailure(self.view(Step("/orders")), VisitFailed)

    @inlineCallbacks
    def test_a_login_is_followed_home(self):
        seen = yield self.view(LOGIN)
        assert (seen.path, seen.method) == ("/", "GET")

    @inlineCallbacks
    def test_what_is_cached_is_loaded_once(self):
        yield self.view(Step("/orders"))
        yield self.view(Step("/orders"))
        assert self.site.requested_paths.count("/_lbc/fetch-from.js") == 1

    @inlineCallbacks
    def test_who_finds_himself_at_the_login_logs_in_again(self):
        for number in range(4):
            yield ensureDeferred(self.visitor.view_next(str(number)))
        assert self.site.requested_paths.count("/login") in (1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_visitors_wander_within_the_shop(seed):
    random = Random(seed)
    assert all(next_step(random).path.startswith("/") for _ in range(50))

"""A page asked of a real application for the debug page: as it was asked for, whole, plain, and not too large."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase
from twisted.web.http import HTTPChannel, Request
from twisted.web.server import Site

from lbcompanion.http1.heads import RequestHead
from lbcompanion.node.endpoints.application_client import NoPageError, UpstreamClient

pytestmark = pytest.mark.network

reactor: Any = global_reactor
FIELDS = [
    (b"host", b"www.example.com"),
    (b"cookie", b"a=b"),
    (b"accept-encoding", b"gzip"),
    (b"connection", b"close"),
    (b"x-a", b"1"),
    (b"x-a", b"2"),
]


class Answers(Request):
    """The application's answers, by path."""

    asked: list[Any]

    def process(self) -> None:
        self.channel.site.asked.append((self.method, self.uri, self.requestHeaders))
        if self.path == b"/drop":
            self.channel.transport.abortConnection()
            return
        if self.path == b"/coded":
            self.setHeader(b"content-encoding", b"gzip")
        if self.path == b"/elsewhere":
            self.setResponseCode(302)
            self.setHeader(b"location", b"http://127.0.0.1:1/")
        self.setHeader(b"content-type", b"text/html; charset=utf-8")
        self.responseHeaders.setRawHeaders(b"content-security-policy", [b"script-src a", b"script-src b"])
        self.setHeader(b"set-cookie", b"c=d")
        for _ in range(10):
            self.write(b"<p>0123456789")
        self.finish()


class ApplicationTests(TestCase):
    def setUp(self) -> None:
        self.site: Any = Site(None)  # type: ignore[arg-type]
        self.site.asked = []
        self.site.protocol = HTTPChannel
        self.site.requestFactory = Answers
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    def ask(self, target: bytes, max_bytes: int = 1000) -> Any:
        upstream = f"tcp:127.0.0.1:{self.port.getHost().port}"
        head = RequestHead.from_fields(b"GET", target, 11, FIELDS)
        return UpstreamClient(upstream, reactor, max_bytes).ask(head)

    @inlineCallbacks
    def test_the_page_as_it_was_asked_for(self) -> Any:
        answered = yield self.ask(b"/x%20y?z=%E9")
        assert answered.body == b"<p>0123456789" * 10
        assert answered.head.status == 200
        assert answered.head.get(b"content-type") == b"text/html; charset=utf-8"
        assert answered.head.all(b"content-security-policy") == [b"script-src a", b"script-src b"]
        yield self.ask(b"/")
        ((method, uri, headers), (_, _, again)) = self.site.asked
        assert (method, uri) == (b"GET", b"/x%20y?z=%E9")
        assert headers.getRawHeaders(b"host") == [b"www.example.com"]
        assert headers.getRawHeaders(b"accept-encoding") == [b"identity"]
        assert headers.getRawHeaders(b"x-a") == [b"1", b"2"]
        # No cookie of one page's is known to the next.
        assert headers.getRawHeaders(b"cookie") == again.getRawHeaders(b"cookie") == [b"a=b"]

    @inlineCallbacks
    def test_it_goes_nowhere_else(self) -> Any:
        answered = yield self.ask(b"/elsewhere")
        assert answered.head.status == 302

    @inlineCallbacks
    def test_no_page(self) -> Any:
        for target, most, why in (
            (b"/", 129, "larger than max_page_bytes"),
            (b"/coded", 1000, "codes"),
            (b"/drop", 1000, "did not answer"),
        ):
            error = yield self.assertFailure(self.ask(target, most), NoPageError)
            assert why in str(error), target
        head = RequestHead.from_fields(b"GET", b"/", 11, FIELDS)
        error = yield self.assertFailure(UpstreamClient("tcp:127.0.0.1:1", reactor, 9).ask(head), NoPageError)
        assert "did not answer" in str(error)

"""The built-in balancer over real sockets, with backends that tell what they were sent."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from treq.content import content
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lbcompanion.demo.backends import Backend, HealthChecks, one_shot_agent
from lbcompanion.demo.balancer import DemoBalancer
from lbcompanion.web import QuietSite

pytestmark = pytest.mark.network


class Echo(Resource):
    isLeaf = True

    def __init__(self, name):
        Resource.__init__(self)
        self.name = name
        self.request_count = 0
        self.ready = True
        self.left = Deferred()

    def render(self, request):
        self.request_count += 1
        request.setHeader(b"X-Node", self.name.encode())
        if request.path == b"/readyz":
            request.setResponseCode(200 if self.ready else 503)
            return b""
        if request.path == b"/unchanged":
            request.setResponseCode(304)
            return b""
        if request.path == b"/big":
            return b"0123456789" * 100_000
        if request.path == b"/two-cookies":
            request.addCookie(b"a", b"1")
            request.addCookie(b"b", b"2")
            return b""
        if request.path == b"/pieces":
            return self.pieces(request, request.finish)
        if request.path == b"/broken":
            return self.pieces(request, request.transport.abortConnection)
        if request.path == b"/endless":
            request.notifyFinish().addErrback(lambda _: self.left.callback(None))
            request.write(b"start")
            return NOT_DONE_YET
        if request.path == b"/silent":
            request.transport.abortConnection()
            return NOT_DONE_YET
        headers = {k.decode().lower(): [v.decode() for v in vs] for k, vs in request.requestHeaders.getAllRawHeaders()}
        body = request.content.read()
        return json.dumps(
            {
                "node": self.name,
                "method": request.method.decode(),
                "uri": request.uri.decode(),
                "headers": headers,
                "length": len(body),
                "sum": sum(body),
            }
        ).encode()

    def pieces(self, request, end):
        for number in range(3):
            reactor.callLater(number * 0.01, request.write, b"piece %d," % number)
        reactor.callLater(0.04, end)
        return NOT_DONE_YET


class BalancerTests(TestCase):
    def setUp(self):
        self.nodes = {name: Echo(name) for name in ("n1", "n2", "n3")}
        self.ports = {}
        for name, node in self.nodes.items():
            self.ports[name] = reactor.listenTCP(0, QuietSite(node), interface="127.0.0.1")
            self.addCleanup(self.ports[name].stopListening)
        self.backends = [
            Backend(name, f"127.0.0.1:{port.getHost().port}", f"127.0.0.1:{port.getHost().port}")
            for name, port in self.ports.items()
        ]
        self.url = self.balance()
        self.agent = one_shot_agent(reactor)

    def balance(self, **how):
        balancer = DemoBalancer(self.backends, one_shot_agent(reactor), **how)
        port = reactor.listenTCP(0, balancer.site(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"

    @inlineCallbacks
    def ask(self, path="/", method="GET", body=None, agent=None, url=None, **headers):
        fields = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        producer = None if body is None else FileBodyProducer(BytesIO(body))
        response = yield (agent or self.agent).request(
            method.encode(), f"{url or self.url}{path}".encode(), fields, producer
        )
        response.body = yield content(response)
        return response

    @inlineCallbacks
    def test_newcomers_go_round(self):
        seen = []
        for _ in range(6):
            response = yield self.ask()
            (cookie,) = response.headers.getRawHeaders("set-cookie")
            node = response.headers.getRawHeaders("x-node")[0]
            assert cookie == f"SRV={node}; path=/"
            seen.append(node)
        assert seen == ["n1", "n2", "n3"] * 2

    @inlineCallbacks
    def test_who_has_the_cookie_stays_and_gets_no_other(self):
        for node in ("n3", "n1", "n3", "n2", "n3"):
            response = yield self.ask(Cookie=f"a=b; SRV={node}")
            assert response.headers.getRawHeaders("x-node") == [node]
            assert not response.headers.hasHeader("set-cookie")

    @inlineCallbacks
    def test_an_unknown_value_is_set_again(self):
        response = yield self.ask(Cookie="SRV=n9")
        assert response.headers.hasHeader("set-cookie")

    @inlineCallbacks
    def test_a_node_that_is_down_is_left_out(self):
        yield self.ports["n2"].stopListening()
        response = yield self.ask(Cookie="SRV=n2")
        node = response.headers.getRawHeaders("x-node")[0]
        assert node in ("n1", "n3")
        assert response.headers.getRawHeaders("set-cookie") == [f"SRV={node}; path=/"]
        assert not self.backends[1].up

    @inlineCallbacks
    def test_a_post_that_was_never_sent_goes_to_another_node(self):
        yield self.ports["n2"].stopListening()
        response = yield self.ask(method="POST", body=b"abc", Cookie="SRV=n2")
        assert json.loads(response.body)["length"] == 3

    @inlineCallbacks
    def test_a_post_that_was_sent_is_not_sent_twice(self):
        response = yield self.ask("/silent", method="POST", body=b"abc", Cookie="SRV=n2")
        assert response.code == 502
        assert [node.request_count for node in self.nodes.values()] == [0, 1, 0]

    @inlineCallbacks
    def test_without_any_node_it_says_so(self):
        yield gatherResults([port.stopListening() for port in self.ports.values()])
        first = yield self.ask()
        later = yield self.ask()
        assert (first.code, later.code) == (502, 503)

    @inlineCallbacks
    def test_bodies_go_up_whole(self):
        body = bytes(range(256)) * 2000
        response = yield self.ask("/up?a=b&c", method="POST", body=body, Content_Type="x/y")
        reported = json.loads(response.body)
        assert (reported["length"], reported["sum"], reported["uri"]) == (len(body), sum(body), "/up?a=b&c")
        assert reported["headers"]["content-type"] == ["x/y"]

    @inlineCallbacks
    def test_bodies_come_down_whole(self):
        response = yield self.ask("/big")
        assert (response.length, response.body) == (1000000, b"0123456789" * 100000)

    @inlineCallbacks
    def test_pieces_come_without_a_length(self):
        response = yield self.ask("/pieces")
        assert response.body == b"piece 0,piece 1,piece 2,"
        assert not response.headers.hasHeader("content-length")

    def test_a_body_that_breaks_off_is_not_ended_cleanly(self):
        return self.assertFailure(self.ask("/broken"), ResponseFailed)

    @inlineCallbacks
    def test_head(self):
        response = yield self.ask("/big", method="HEAD")
        assert (response.headers.getRawHeaders("content-length"), response.body) == (["1000000"], b"")

    @inlineCallbacks
    def test_not_modified(self):
        response = yield self.ask("/unchanged")
        assert (response.code, response.body) == (304, b"")

    @inlineCallbacks
    def test_cookies_of_the_application_stay_apart(self):
        response = yield self.ask("/two-cookies", Cookie="SRV=n1")
        assert response.headers.getRawHeaders("set-cookie") == ["a=1", "b=2"]

    @inlineCallbacks
    def test_the_node_gets_the_visitors_address(self):
        response = yield self.ask(Host="shop.example:8443", X_Forwarded_For="10.1.2.3", X_Forwarded_Proto="https")
        headers = json.loads(response.body)["headers"]
        assert headers["host"] == ["shop.example:8443"]
        assert headers["x-forwarded-for"] == ["10.1.2.3", "127.0.0.1"]
        assert headers["x-forwarded-proto"] == ["http"]

    @inlineCallbacks
    def test_the_node_sees_the_cookie_unless_it_is_indirect(self):
        seen = yield self.ask(Cookie="a=b; SRV=n1; c=d")
        hidden = yield self.ask(url=self.balance(indirect=True, httponly=True), Cookie="a=b; SRV=n1; c=d")
        fresh = yield self.ask(url=self.balance(indirect=True, httponly=True), Cookie="SRV=n9")
        assert json.loads(seen.body)["headers"]["cookie"] == ["a=b; SRV=n1; c=d"]
        assert json.loads(hidden.body)["headers"]["cookie"] == ["a=b; c=d"]
        assert "cookie" not in json.loads(fresh.body)["headers"]
        assert fresh.headers.getRawHeaders("set-cookie")[0].endswith("; HttpOnly")

    @inlineCallbacks
    def test_a_connection_serves_many_requests(self):
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = 1
        agent = Agent(reactor, pool=pool)
        for path in ("/", "/pieces", "/unchanged", "/big", "/"):
            response = yield self.ask(path, agent=agent)
            assert response.code in (200, 304)
        yield self.ask("/", method="POST", body=b"x", agent=agent)
        assert [len(kept) for kept in pool._connections.values()] == [1]
        yield pool.closeCachedConnections()

    @inlineCallbacks
    def test_a_visitor_who_leaves_is_taken_from_the_node(self):
        gone = Deferred()

        class Leaver(Protocol):
            def connectionMade(self):
                self.transport.write(b"GET /endless HTTP/1.1\r\nHost: x\r\nCookie: SRV=n2\r\n\r\n")

            def dataReceived(self, data):
                self.transport.abortConnection()

            def connectionLost(self, reason):
                gone.callback(None)

        factory = ClientFactory.forProtocol(Leaver)
        host, port = self.url.removeprefix("http://").split(":")
        reactor.connectTCP(host, int(port), factory)
        yield gone
        yield self.nodes["n2"].left.addTimeout(5, reactor)

    @inlineCallbacks
    def test_health_checks_follow_readyz(self):
        self.nodes["n3"].ready = False
        yield self.ports["n1"].stopListening()
        checks = HealthChecks(self.backends, one_shot_agent(reactor), reactor)
        checks.start()
        while self.backends[2].up or self.backends[0].up:
            yield deferLater(reactor, 0.02)
        assert [backend.up for backend in self.backends] == [False, True, False]
        self.nodes["n3"].ready = True
        while not self.backends[2].up:
            yield deferLater(reactor, 0.02)
        checks.stop()
        # Twisted's HostnameEndpoint looks after its attempts this long, even after the last has failed.
        yield deferLater(reactor, 0.35)

    def test_nothing_is_listened_to_for_its_own_sake(self):
        assert isinstance(DemoBalancer(self.backends, self.agent).site(), Factory)

"""A node that stops gives its copies to its peers."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.model import Loss, LossCode, LossReason
from lbcompanion.node.copies.peers import rendezvous_order
from lbcompanion.protocol.notices import read_delivery
from lbcompanion.protocol.signatures import SignedRequest, Verifier
from lbcompanion.protocol.tokens import is_valid_proof, proof
from lbcompanion.settings import CaptureTable, StoreTable
from lbcompanion.testing.stores import make_page
from lbcompanion.testing.strategies import SECRET
from tests.support.four_nodes import BODY, FourNodes, reactor, token_of

pytestmark = pytest.mark.network


class Intake(Resource):
    """The crawler's."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Loss] = []

    def render_POST(self, request: Request) -> bytes:
        body = request.content.read()
        fields = [
            (name.lower(), value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values
        ]
        host = request.getHeader(b"host").decode()
        Verifier(SECRET).verify(SignedRequest("POST", host, "/notices", fields, body), time.time())
        self.losses += read_delivery(body)[1]
        request.setResponseCode(202)
        return b""


class Slow(Resource):
    """A node that proves who it is, and then takes its time."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, request: Request) -> bytes | int:
        if request.method == b"PUT":
            return NOT_DONE_YET
        nonce = (request.getHeader(b"lbc-nonce") or b"").decode()
        request.setHeader(b"lbc-proof", proof(SECRET, self._name, "", nonce).encode())
        return b"{}"


class Anything(Resource):
    """Answers 204 to whatever is asked."""

    isLeaf = True

    def __init__(self, seen: list[bytes]) -> None:
        super().__init__()
        self._seen = seen

    def render(self, request: Request) -> bytes:
        self._seen.append(request.method + b" " + request.path)
        request.setResponseCode(204)
        return b""


class FourNodesTests(FourNodes):
    @inlineCallbacks
    def test_copies_go_to_the_first_peer_in_order_and_are_found_there(self) -> Any:
        tokens = [token_of("n2", bytes([seed])) for seed in range(12)]
        for token in tokens:
            yield self.put("n2", token, token.encode())
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"handed_over": 12, "lost": 0}
        assert gone.counters.copies_transferred == {"given": 12}
        first = {token: rendezvous_order(token, ["n1", "n3", "n4"])[0] for token in tokens}
        assert len(set(first.values())) > 1
        for token in tokens:
            assert (yield self.holders(token)) == [first[token]]
        # Every node finds it, though the owner is away.
        for token, at in zip(tokens, ["n1", "n3", "n4"] * 4, strict=True):
            status, told, body = yield self.ask(at, token)
            assert (status, body, told["lbc-node"], told["lbc-via"]) == (200, token.encode(), at, "peer")
            assert is_valid_proof(told["lbc-proof"], SECRET, at, token, "nonce-1", told["repr-digest"])
        # So does the owner once it is back, and tells where it came from; the crawler's word reaches the holder.
        yield self.start("n2")
        for token in tokens:
            status, told, body = yield self.ask("n2", token)
            assert (status, body, told["lbc-node"], told["lbc-via"]) == (200, token.encode(), "n2", "peer")
            status, told, body = yield self.ask("n2", token, "HEAD")
            assert (status, body, told["content-length"]) == (200, b"", str(len(token)))
            status, _, _ = yield self.ask("n2", token, "DELETE")
            assert status == 204
            assert (yield self.holders(token)) == []
            _, _, body = yield self.ask("n2", token)
            assert b'"pulled"' in body
        assert self.services["n2"].counters.fetches["passed on"] == 48

    @inlineCallbacks
    def test_what_was_given_keeps_its_age(self) -> Any:
        token = token_of("n2")
        yield self.put("n2", token, captured_at=time.time() - 300)
        yield self.stop("n2")
        (holder,) = yield self.holders(token)
        page = yield self.services[holder].store.peek(token)
        assert time.time() - 310 < page.kept_at < time.time() - 299
        assert page == attrs.evolve(make_page(token, BODY), captured_at=page.captured_at)

    @inlineCallbacks
    def test_who_refuses_is_passed_over_and_asked_once(self) -> Any:
        tokens = [token_of("n2", bytes([seed])) for seed in range(24)]
        yield self.stop("n1")
        self.services["n3"].readiness.drain_state.draining = True
        for token in tokens:
            yield self.put("n2", token)
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"handed_over": 24, "lost": 0}
        for token in tokens:
            assert (yield self.holders(token)) == ["n4"]
        # As many as were under way at once.
        assert 1 <= self.services["n3"].counters.copies_transferred["refused"] <= 8
        self.services["n3"].readiness.drain_state.draining = False

    @inlineCallbacks
    def test_a_page_too_large_for_one_goes_to_another(self) -> Any:
        yield self.stop("n4")
        yield self.stop("n1")
        yield self.start("n1", capture=CaptureTable(max_page_bytes=10))
        del self.urls["n4"]
        tokens = [token_of("n2", bytes([seed])) for seed in range(8)]
        for token in tokens:
            yield self.put("n2", token)
        small = token_of("n2", b"s")
        yield self.put("n2", small, b"small")
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"handed_over": 9, "lost": 0}
        for token in tokens:
            assert (yield self.holders(token)) == ["n3"]
        assert (yield self.holders(small)) == rendezvous_order(small, ["n1", "n3"])[:1]

    @inlineCallbacks
    def test_a_peer_that_is_not_who_it_is_taken_for_gets_nothing(self) -> Any:
        for name in ("n3", "n4"):
            yield self.stop(name)
            del self.urls[name]
        # What listens where n1 is to be is another node.
        self.urls["n1"], true = self.urls["n2"], self.urls["n1"]
        seen: list[bytes] = []
        listening = reactor.listenTCP(0, Site(Anything(seen)), interface="127.0.0.1")
        self.urls["n1"] = f"http://127.0.0.1:{listening.getHost().port}"
        token = token_of("n2")
        yield self.put("n2", token)
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"lost": 1}
        assert seen == [b"GET /_lbc/whoami"]
        self.urls["n1"] = true
        yield listening.stopListening()

    @inlineCallbacks
    def test_a_peer_that_is_slow_does_not_hold_up_the_stop(self) -> Any:
        listening = reactor.listenTCP(0, Site(Slow("n3")), interface="127.0.0.1")
        for name in ("n1", "n4"):
            del self.urls[name]
        yield self.stop("n3")
        self.urls["n3"] = f"http://127.0.0.1:{listening.getHost().port}"
        for seed in range(20):
            yield self.put("n2", token_of("n2", bytes([seed])))
        peer_export = self.services["n2"]._copy_drain._peer_export
        begun = time.monotonic()
        yield Deferred.fromCoroutine(peer_export.run(reactor.seconds() + 0.5))
        assert time.monotonic() - begun < 5
        assert (peer_export.exported, set(peer_export.lost.values())) == ({}, {LossReason.of(LossCode.NO_TIME)})
        assert len(peer_export.lost) == 20
        yield listening.stopListening()

    @inlineCallbacks
    def test_copies_that_no_peer_takes_are_reported_to_the_crawler(self) -> Any:
        intake = Intake()
        listening = reactor.listenTCP(0, Site(intake), interface="127.0.0.1")
        yield self.stop("n2")
        yield self.start("n2", f"http://127.0.0.1:{listening.getHost().port}", store=StoreTable(max_bytes=20_000_000))
        # All others can take small pages only.
        for name in ("n1", "n3", "n4"):
            yield self.stop(name)
            yield self.start(name, capture=CaptureTable(max_page_bytes=100))
        small, large = token_of("n2", b"s"), token_of("n2", b"l")
        yield self.put("n2", small, b"small")
        yield self.put("n2", large, bytes(101))
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"handed_over": 1, "lost": 1}
        assert gone.counters.copies_transferred == {"given": 1, "lost": 1}
        assert intake.losses == [Loss(large, "the node stopped, and no peer took the copy")]
        assert gone.counters.notices == {"losses delivered": 1}
        yield listening.stopListening()

    @inlineCallbacks
    def test_a_copy_of_anothers_goes_home_or_on(self) -> Any:
        token = token_of("n1")
        yield self.put("n2", token)
        yield self.stop("n1")
        gone = yield self.stop("n2")
        assert gone.copy_outcome == {"handed_over": 1, "lost": 0}
        holder = rendezvous_order(token, ["n3", "n4"])[0]
        assert (yield self.holders(token)) == [holder]
        yield self.start("n1")
        gone = yield self.stop(holder)
        assert gone.copy_outcome == {"handed_over": 1, "lost": 0}
        assert (yield self.holders(token)) == ["n1"]

"""Passing a fetch on to the owner and to who keeps its copies, and giving copies to peers: one hop, signed, proven,
without loops; real services in one process."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase

from lbcompanion.model import Miss, MissReason
from lbcompanion.node.copies.peers import rendezvous_order
from lbcompanion.node.service import NodeService
from lbcompanion.protocol.tokens import is_valid_proof
from lbcompanion.testing.stores import FailingStore, make_page
from lbcompanion.testing.strategies import SECRET
from tests.support.four_nodes import BODY, FourNodes, ask, reactor, token_of
from tests.support.in_memory_node import InMemoryNode, new_folder, settings

pytestmark = pytest.mark.network


class PeersTests(TestCase):
    @inlineCallbacks
    def setUp(self) -> Any:
        # Filled in once the ports are known, which the services look up then.
        peers: dict[str, str] = {}
        self.services: dict[str, NodeService] = {}
        folder = new_folder(self)
        for name in ("n1", "n2"):
            told = settings(name, peers=peers, node={"state_dir": folder / name, "admin": ""})
            node = attrs.evolve(told.node, listen=("tcp:0:interface=127.0.0.1",))
            crawler = attrs.evolve(told.crawler, intake="")
            service = NodeService(attrs.evolve(told, node=node, crawler=crawler), reactor)
            self.services[name] = service
            yield service.startService()
            peers[name] = f"http://127.0.0.1:{service.ports[0]}"
        # A wrong address for n3: the node that asks there must detect that n1 answers.
        peers["n3"] = peers["n1"]
        self.urls = peers

    @inlineCallbacks
    def tearDown(self) -> Any:
        for service in self.services.values():
            yield service.stopService()

    def ask(self, at: str, token: str, method: str = "GET", **more: str) -> Any:
        return ask(self.urls[at], token, method, **more)

    @inlineCallbacks
    def test_the_owner_answers_through_its_peer(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.put(make_page(token, BODY))
        status, told, body = yield self.ask("n2", token, "HEAD")
        assert (status, body, told["content-length"]) == (200, b"", str(len(BODY)))
        status, told, body = yield self.ask("n2", token)
        assert (status, body) == (200, BODY)
        assert (told["lbc-node"], told["lbc-via"]) == ("n2", "peer")
        assert told["lbc-page-method"] == "POST"
        assert told["cache-control"] == "no-store, no-transform"
        assert told["content-type"] == "application/octet-stream"
        assert is_valid_proof(told["lbc-proof"], SECRET, "n2", token, "nonce-1", told["repr-digest"])
        status, _, _ = yield self.ask("n2", token, "DELETE")
        assert status == 204
        status, told, body = yield self.ask("n2", token)
        assert (status, told["lbc-node"]) == (404, "n2")
        assert b'"pulled"' in body

    @inlineCallbacks
    def test_the_head_of_a_page_comes_through_a_peer(self) -> Any:
        token = token_of("n1")
        head = b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nSet-Cookie\r\n"
        yield self.services["n1"].store.put(attrs.evolve(make_page(token, BODY), head=head))
        for method in ("HEAD", "GET"):
            status, told, body = yield self.ask("n2", token, method, **{"Lbc-Page-Head": "1"})
            assert (status, body) == (200, BODY + head if method == "GET" else b"")
            assert (told["lbc-node"], told["lbc-page-head"]) == ("n2", str(len(head)))
            parts = "n2", token, "nonce-1", told["repr-digest"], told["lbc-page-head"]
            assert is_valid_proof(told["lbc-proof"], SECRET, *parts)
        status, told, body = yield self.ask("n2", token)
        assert (status, body) == (200, BODY)
        assert "lbc-page-head" not in told

    @inlineCallbacks
    def test_its_misses_are_passed_on(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.mark(token, Miss(MissReason.EXPIRED))
        status, told, body = yield self.ask("n2", token)
        assert status == 404
        assert b'"expired"' in body
        assert is_valid_proof(told["lbc-proof"], SECRET, "n2", token, "nonce-1", told["repr-digest"])

    @inlineCallbacks
    def test_an_owner_who_cannot_now_is_asked_again(self) -> Any:
        token = self.services["n1"].copies.mint_token()
        status, told, _ = yield self.ask("n2", token)
        assert (status, told["retry-after"]) == (503, "1")

    @inlineCallbacks
    def test_a_node_asked_by_a_peer_asks_no_other_node(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.put(make_page(token, BODY))
        status, _, body = yield self.ask("n2", token, **{"Lbc-Hop": "n9"})
        assert status == 404
        assert b'"misrouted"' in body

    @inlineCallbacks
    def test_an_answer_that_is_not_the_owners_does_not_count(self) -> Any:
        # Only n1, which is asked as n3.
        del self.urls["n1"]
        token = token_of("n3")
        yield self.services["n1"].store.put(make_page(token, BODY))
        status, _, body = yield self.ask("n2", token)
        assert status == 404
        assert b'"misrouted"' in body
        assert b'"n3"' in body

    @inlineCallbacks
    def test_an_owner_who_is_down_leaves_it_misrouted(self) -> Any:
        token = token_of("n1")
        yield self.services.pop("n1").stopService()
        for method in ("GET", "DELETE"):
            status, _, body = yield self.ask("n2", token, method)
            assert status == 404
            assert b'"misrouted"' in body


class FourNodesTests(FourNodes):
    @inlineCallbacks
    def test_the_search_asks_three_beside_the_owner_and_no_more(self) -> Any:
        yield self.start("n5")
        token = token_of("n2")
        order = rendezvous_order(token, ["n1", "n3", "n4", "n5"])
        yield self.put(order[3], token)
        status, _, body = yield self.ask("n2", token)
        assert (status, b'"unknown"' in body) == (404, True)
        yield self.services[order[3]].store.drop(token)
        yield self.put(order[2], token)
        status, told, _ = yield self.ask("n2", token)
        assert (status, told["lbc-via"]) == (200, "peer")
        # From elsewhere the owner comes first, and knows nothing: that is not the end.
        status, told, _ = yield self.ask(order[0], token)
        assert (status, told["lbc-node"]) == (200, order[0])

    @inlineCallbacks
    def test_the_owners_own_word_counts(self) -> Any:
        token = token_of("n2")
        for reason, word in ((MissReason.EXPIRED, b"expired"), (MissReason.UNKNOWN, b"larger than")):
            yield self.services["n2"].store.mark(
                token, Miss(reason, "larger than max_page_bytes" * (word != b"expired"))
            )
            yield self.put(rendezvous_order(token, ["n3", "n4"])[0], token)
            status, _, body = yield self.ask("n1", token)
            assert (status, word in body) == (404, True)
            status, _, body = yield self.ask("n2", token)
            assert (status, word in body) == (404, True)

    @inlineCallbacks
    def test_where_nobody_has_it_the_owner_has_forgotten_it(self) -> Any:
        token = token_of("n2")
        for at in ("n1", "n2"):
            for method in ("GET", "HEAD", "DELETE"):
                status, told, body = yield self.ask(at, token, method)
                assert (status, told["lbc-node"]) == (404, at)
                assert is_valid_proof(told["lbc-proof"], SECRET, at, token, "nonce-1", told["repr-digest"])
                assert method == "HEAD" or b'"unknown"' in body

    @inlineCallbacks
    def test_why_a_peer_lost_it_is_reported(self) -> Any:
        token = token_of("n2")
        yield self.services[rendezvous_order(token, ["n1", "n3", "n4"])[1]].store.mark(token, Miss(MissReason.EXPIRED))
        status, told, body = yield self.ask("n2", token)
        assert (status, b'"expired"' in body, told["lbc-node"]) == (404, True, "n2")

    @inlineCallbacks
    def test_a_node_asked_by_a_peer_asks_no_other_node(self) -> Any:
        token = token_of("n2")
        for name in ("n1", "n3", "n4"):
            yield self.put(name, token)
        for method in ("GET", "DELETE"):
            status, _, body = yield self.ask("n2", token, method, **{"Lbc-Hop": "n9"})
            assert (status, b'"unknown"' in body) == (404, True)
        assert (yield self.holders(token)) == ["n1", "n3", "n4"]
        assert self.services["n2"].counters.fetches["passed on"] == 0

    @inlineCallbacks
    def test_a_peer_that_cannot_now_is_asked_again_where_nobody_else_has_it(self) -> Any:
        token = token_of("n2")
        first, second, _ = rendezvous_order(token, ["n1", "n3", "n4"])
        self.services[first].copies.use_store(FailingStore(self.services[first].store))
        status, told, _ = yield self.ask("n2", token)
        assert (status, told["retry-after"]) == (503, "1")
        yield self.put(second, token)
        status, _, body = yield self.ask("n2", token)
        assert (status, body) == (200, BODY)


def test_the_order_is_everybodys_and_spreads() -> None:
    tokens = [token_of("n2", bytes([seed])) for seed in range(250)]
    names = ["n1", "n3", "n4"]
    orders = {token: rendezvous_order(token, names) for token in tokens}
    assert all(rendezvous_order(token, reversed(names)) == order for token, order in orders.items())
    firsts = [order[0] for order in orders.values()]
    assert all(50 < firsts.count(name) < 120 for name in names)
    # Who comes or goes moves no others.
    for token, order in orders.items():
        assert rendezvous_order(token, ["n1", "n3"]) == [name for name in order if name != "n4"]


def test_a_store_that_holds_a_copy_of_anothers_answers_itself() -> None:
    companion = InMemoryNode(name="n2", ask_peers=lambda method, owner, ask: None)
    token = token_of("n1")
    companion.store.put(make_page(token, BODY))
    assert companion.fetch(token).body == BODY

"""Passing a fetch on to the owner: one hop, signed, proven, without loops; two real services in one process."""

from __future__ import annotations

import time
from typing import Any

import attrs
import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase

from lbcompanion.model import Miss, MissReason
from lbcompanion.node.service import NodeService
from lbcompanion.signatures import Signer
from lbcompanion.testing.stores import a_page
from lbcompanion.testing.strategies import SECRET
from lbcompanion.tokens import Tokens, proof_holds
from tests.node.rig import Rig, new_folder, settings

reactor: Any = global_reactor
BODY = b"<!doctype html><p>the copy of n1"


def token_of(owner: str, seed: bytes = b"x") -> str:
    return Tokens(SECRET, owner, lambda count: (seed * count)[:count]).mint()


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
        # n3 is a lie: whoever is asked for n3's copies at n1's address has to see that it is not n3 who answers.
        peers["n3"] = peers["n1"]
        self.urls = peers

    @inlineCallbacks
    def tearDown(self) -> Any:
        for service in self.services.values():
            yield service.stopService()

    @inlineCallbacks
    def ask(self, at: str, token: str, method: str = "GET", **more: str) -> Any:
        url = f"{self.urls[at]}/_lbc/page/{token}"
        headers = dict(Signer(SECRET).sign(method, url, "nonce-1", time.time())) | more
        response = yield treq.request(method, url, headers=headers, persistent=False, reactor=reactor)
        body = yield response.content()
        told = {
            name.lower().decode(): values[0].decode("latin-1") for name, values in response.headers.getAllRawHeaders()
        }
        return response.code, told, body

    @inlineCallbacks
    def test_the_owner_answers_through_its_peer(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.put(a_page(token, BODY))
        status, told, body = yield self.ask("n2", token, "HEAD")
        assert (status, body, told["content-length"]) == (200, b"", str(len(BODY)))
        status, told, body = yield self.ask("n2", token)
        assert (status, body) == (200, BODY)
        assert (told["lbc-node"], told["lbc-via"]) == ("n2", "peer")
        assert told["lbc-page-method"] == "POST"
        assert told["cache-control"] == "no-store"
        assert proof_holds(told["lbc-proof"], SECRET, "n2", token, "nonce-1", told["repr-digest"])
        status, _, _ = yield self.ask("n2", token, "DELETE")
        assert status == 204
        status, told, body = yield self.ask("n2", token)
        assert (status, told["lbc-node"]) == (404, "n2")
        assert b'"pulled"' in body

    @inlineCallbacks
    def test_its_misses_are_passed_on(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.mark(token, Miss(MissReason.EXPIRED))
        status, told, body = yield self.ask("n2", token)
        assert status == 404
        assert b'"expired"' in body
        assert proof_holds(told["lbc-proof"], SECRET, "n2", token, "nonce-1", told["repr-digest"])

    @inlineCallbacks
    def test_an_owner_who_cannot_now_is_asked_again(self) -> Any:
        token = self.services["n1"].copies.begin()
        status, told, _ = yield self.ask("n2", token)
        assert (status, told["retry-after"]) == (503, "1")

    @inlineCallbacks
    def test_who_was_asked_by_a_peer_asks_nobody(self) -> Any:
        token = token_of("n1")
        yield self.services["n1"].store.put(a_page(token, BODY))
        status, _, body = yield self.ask("n2", token, **{"Lbc-Hop": "n9"})
        assert status == 404
        assert b'"misrouted"' in body

    @inlineCallbacks
    def test_an_answer_that_is_not_the_owners_is_none(self) -> Any:
        token = token_of("n3")
        yield self.services["n1"].store.put(a_page(token, BODY))
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


def test_a_store_that_holds_a_copy_of_anothers_answers_itself() -> None:
    rig = Rig(name="n2", pass_on=lambda method, owner, ask: None)
    token = token_of("n1")
    rig.store.put(a_page(token, BODY))
    assert rig.fetch(token).body == BODY

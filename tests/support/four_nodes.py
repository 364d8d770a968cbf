"""Four nodes as services in one process, which know each other."""

from __future__ import annotations

import time
from typing import Any

import attrs
import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase

from lbcompanion.node.service import NodeService
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.testing.stores import make_page
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import new_folder, settings

reactor: Any = global_reactor


BODY = b"<!doctype html><p>the copy of n1"


def token_of(owner: str, seed: bytes = b"x") -> str:
    return Tokens(SECRET, owner, lambda count: (seed * count)[:count]).mint()


@inlineCallbacks
def ask(origin: str, token: str, method: str = "GET", **more: str) -> Any:
    url = f"{origin}/_lbc/page/{token}"
    headers = dict(Signer(SECRET).sign(method, url, "nonce-1", time.time())) | {"Lbc-Authority": origin[7:]} | more
    response = yield treq.request(method, url, headers=headers, persistent=False, reactor=reactor)
    body = yield response.content()
    told = {name.lower().decode(): values[0].decode("latin-1") for name, values in response.headers.getAllRawHeaders()}
    return response.code, told, body


class FourNodes(TestCase):
    """n1 to n4 know each other; n2 is the one that goes and comes."""

    names = ("n1", "n2", "n3", "n4")

    @inlineCallbacks
    def setUp(self) -> Any:
        self.urls: dict[str, str] = {}
        self.services: dict[str, NodeService] = {}
        self.folder = new_folder(self)
        for name in self.names:
            yield self.start(name)

    @inlineCallbacks
    def start(self, name: str, intake: str = "", **tables: Any) -> Any:
        told = settings(name, peers=self.urls, node={"state_dir": self.folder / name, "admin": ""}, **tables)
        node = attrs.evolve(told.node, listen=("tcp:0:interface=127.0.0.1",))
        crawler = attrs.evolve(told.crawler, intake=intake)
        service = self.services[name] = NodeService(attrs.evolve(told, node=node, crawler=crawler), reactor)
        yield service.startService()
        self.urls[name] = f"http://127.0.0.1:{service.ports[0]}"

    @inlineCallbacks
    def stop(self, name: str) -> Any:
        service = self.services.pop(name)
        yield service.stopService()
        return service

    @inlineCallbacks
    def tearDown(self) -> Any:
        for name in list(self.services):
            yield self.stop(name)

    def put(self, name: str, token: str, body: bytes = BODY, **more: Any) -> Any:
        page = attrs.evolve(make_page(token, body), **{"captured_at": time.time(), **more})
        return self.services[name].store.put(page)

    @inlineCallbacks
    def holders(self, token: str) -> Any:
        found = []
        for name, service in self.services.items():
            if token in (yield service.store.tokens()):
                found.append(name)
        return found

    def ask(self, at: str, token: str, method: str = "GET", **more: str) -> Any:
        return ask(self.urls[at], token, method, **more)

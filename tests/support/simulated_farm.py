"""A farm in memory for the crawler's tests: nodes that speak the contract, behind a balancer that sticks.

The real treq, Agent and twisted.web work over in-memory transports; only the network is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.web.client import URI
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from lbcompanion.crawler.fetching.http_client import ExactTargetAgent, IdentityCodingAgent
from lbcompanion.errors import SignatureRefused
from lbcompanion.model import Notice, Page
from lbcompanion.protocol import tokens
from lbcompanion.protocol.signatures import SignedRequest, Verifier
from lbcompanion.settings import CrawlerSettings, CrawlerTable, KnownNode, SiteSettings, StickyTable
from lbcompanion.sticky.cookies import parse

SECRET = b"a farm's secret for tests"
ORIGIN = "http://www.example.com"


def immediately(call: Callable[..., Any], /, *args: Any) -> Deferred[Any]:
    """A ``Defer`` that runs the call at once."""
    return execute(call, *args)


class Node(Resource):
    """One companion, as the crawler sees it."""

    isLeaf = True

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        super().__init__()
        self.name = name
        self.now = now
        self.up = True
        self.pages: dict[str, Page] = {}
        self.miss_reasons: dict[str, str] = {}
        self.peers: dict[str, Node] = {}
        self.holds_copies_of: dict[str, Node] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.override: Callable[[Request], bytes | None] = lambda _request: None
        self.assets: dict[str, tuple[str, bytes]] = {}
        self._tokens = tokens.Tokens(SECRET, name, os.urandom)
        self._verifier = Verifier(SECRET, {})

    def capture(
        self, body: bytes, path: str = "/", method: str = "GET", status: int = 200, *, head: bytes = b""
    ) -> str:
        token = self._tokens.mint()
        self.pages[token] = Page(
            *(token, ORIGIN + path, method, status, "text/html; charset=utf-8", self.now(), body),
            tokens.digest_of(body),
            head=head,
        )
        return token

    def forget(self, token: str, reason: str) -> None:
        self.pages.pop(token, None)
        self.miss_reasons[token] = reason

    def render(self, request: Request) -> bytes | int:
        cookies = parse((request.getHeader(b"cookie") or b"").decode())
        path = request.path.decode()
        self.asked.append((request.method.decode(), path, dict(cookies)))
        override = self.override(request)
        if override is not None:
            return NOT_DONE_YET if override == b"HANG" else override
        nonce = (request.getHeader(b"lbc-nonce") or b"").decode()
        request.setHeader(b"lbc-node", self.name.encode())
        if path == "/_lbc/whoami":
            request.setHeader(b"lbc-proof", tokens.proof(SECRET, self.name, "", nonce).encode())
            return b'{"node": "%s"}' % self.name.encode()
        if path.startswith("/_lbc/page/"):
            return self._page(request, path.split("/")[3], nonce)
        if path in self.assets:
            kind, body = self.assets[path]
            request.responseHeaders.removeHeader(b"lbc-node")
            for name, value in ((b"date", b"Mon, 23 Nov 2026 21:10:00 GMT"), (b"server", b"app/1")):
                request.setHeader(name, value)
            request.setHeader(b"content-type", kind.encode())
            return body
        request.setResponseCode(404)
        return b"no such page"

    def _signed(self, request: Request) -> bool:
        fields = [(k.lower(), v) for k, vs in request.requestHeaders.getAllRawHeaders() for v in vs]
        host = (request.getHeader(b"host") or b"").decode()
        try:
            signed = SignedRequest(request.method.decode(), host, request.uri.decode(), fields)
            self._verifier.verify(signed, self.now())
        except SignatureRefused:
            return False
        return True

    def _page(self, request: Request, token: str, nonce: str) -> bytes:
        if not self._signed(request):
            request.setResponseCode(403)
            return b""
        owner = self._tokens.owner_of(token)
        if owner != self.name and owner in self.peers and self.peers[owner].up:
            holder, via = self.peers[owner], "peer"
        elif owner in self.holds_copies_of and token in self.holds_copies_of[owner].pages:
            holder, via = self.holds_copies_of[owner], "peer"
        elif owner != self.name:
            return self._miss(request, token, nonce, "misrouted")
        else:
            holder, via = self, "own"
        page = holder.pages.get(token)
        if page is None:
            return self._miss(request, token, nonce, holder.miss_reasons.get(token, "unknown"))
        if request.method == b"DELETE" or (request.method == b"POST" and request.path.endswith(b"/done")):
            holder.forget(token, "pulled")
            request.setResponseCode(204)
            return b""
        # Without a head this is a node of an earlier version, which does not know the request's field.
        head = page.head if request.getHeader(b"lbc-page-head") == b"1" else b""
        length = str(len(head)) if head else ""
        digest = tokens.repr_digest(tokens.digest_of(page.body + head))
        for name, value in (
            ("content-type", page.content_type),
            ("repr-digest", digest),
            ("lbc-proof", tokens.proof(SECRET, self.name, token, nonce, digest, length)),
            *([("lbc-page-head", length)] if head else []),
            ("lbc-page-url", page.url),
            ("lbc-page-method", page.method),
            ("lbc-page-status", str(page.status)),
            ("lbc-captured-at", "2026-11-23T21:10:00.250000Z"),
            ("lbc-via", via),
        ):
            request.setHeader(name.encode(), value.encode())
        return page.body + head

    def _miss(self, request: Request, token: str, nonce: str, reason: str) -> bytes:
        body = json.dumps({"reason": reason, "owner": self._tokens.owner_of(token)}).encode()
        digest = tokens.repr_digest(tokens.digest_of(body))
        request.setResponseCode(404)
        request.setHeader(b"content-type", b"application/problem+json")
        request.setHeader(b"repr-digest", digest.encode())
        request.setHeader(b"lbc-proof", tokens.proof(SECRET, self.name, token, nonce, digest).encode())
        return body


class SimulatedBalancer(Resource):
    """Sticks by a cookie ``SRV`` that names the node; or, as a table, by a session cookie that it remembers."""

    isLeaf = True

    def __init__(self, nodes: list[Node], kind: str = "insert") -> None:
        super().__init__()
        self.nodes = {node.name: node for node in nodes}
        self.kind = kind
        self.table: dict[str, str] = {}
        self.moved: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.maintained: set[str] = set()
        self._turn = 0

    def _gets_requests(self, node: Node | None) -> bool:
        return node is not None and node.up and node.name not in self.maintained

    def _next(self) -> Node | None:
        up = [node for node in self.nodes.values() if self._gets_requests(node)]
        if not up:
            return None
        self._turn += 1
        return up[self._turn % len(up)]

    def render(self, request: Request) -> bytes | int:
        cookies = parse((request.getHeader(b"cookie") or b"").decode())
        self.asked.append(dict(cookies))
        node = self._insert(request, cookies) if self.kind == "insert" else self._learn(cookies)
        if node is None:
            request.setResponseCode(503)
            return b"no server is available"
        return node.render(request)

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        wanted = self.nodes.get(cookies.get("SRV", ""))
        if self._gets_requests(wanted):
            return wanted
        node = self._next()
        if node is not None:
            request.responseHeaders.addRawHeader(b"set-cookie", f"SRV={node.name}; path=/".encode())
        return node

    def _learn(self, cookies: dict[str, str]) -> Node | None:
        key = cookies.get("sess", "")
        bound = self.nodes.get(self.table.get(key, ""))
        if self._gets_requests(bound):
            return bound
        node = self._next()
        if node is not None and bound is not None:
            self.moved.append(key)
            self.table[key] = node.name
        return node


def _exact_agent(resource: Resource) -> RequestTraversalAgent:
    """An agent that sends targets unchanged, like the crawler's."""
    agent = RequestTraversalAgent(resource)
    agent._realAgent.__class__ = ExactTargetAgent
    return agent


@implementer(IAgent)
class HostRouter:
    """An agent over several in-memory hosts; one that is down refuses."""

    def __init__(self, hosts: dict[str, Resource]) -> None:
        self._hosts = {name: (resource, _exact_agent(resource)) for name, resource in hosts.items()}
        self.uris: list[str] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.uris.append(uri.decode())
        parsed = URI.fromBytes(uri)
        resource, agent = self._hosts[parsed.host.decode()]
        if not getattr(resource, "up", True):
            return fail(ConnectionRefusedError())
        return agent.request(method, uri, headers, bodyProducer)


class SimulatedFarm:
    """Nodes, balancer and the settings of a crawler for them."""

    def __init__(
        self,
        names: tuple[str, ...] = ("n1", "n2", "n3"),
        kind: str = "insert",
        balancer: type[SimulatedBalancer] = SimulatedBalancer,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_468_200)
        self.nodes = {name: Node(name, self.now) for name in names}
        self.balancer = balancer(list(self.nodes.values()), kind)
        self.hosts = HostRouter(
            {"www.example.com": self.balancer, **{f"{name}.local": node for name, node in self.nodes.items()}}
        )

    def now(self) -> float:
        return float(self.clock.seconds())

    def agents(self, _site: SiteSettings) -> tuple[Any, Any]:
        return IdentityCodingAgent(self.hosts), IdentityCodingAgent(self.hosts)

    def settings(self, folder: Any = None, direct: bool = False, give_up: float = 60, **site: Any) -> CrawlerSettings:
        known = {name: KnownNode(direct=f"http://{name}.local") for name in self.nodes} if direct else {}
        site.setdefault("sticky", StickyTable(dialect="auto", cookies=("SRV",)))
        table = CrawlerTable(
            secret_file=None,  # type: ignore[arg-type]
            secret=SECRET,
            name="crawler",
            listen="tcp:0:interface=127.0.0.1",
            admin="tcp:0:interface=127.0.0.1",
            give_up_after_seconds=give_up,
            **(
                {}
                if folder is None
                else {
                    "state_dir": folder / "state",
                    "queue": f"sqlite:///{folder}/state/crawler.db",
                    "archive_dir": folder / "archive",
                }
            ),
        )
        site.setdefault("nodes", known)
        return CrawlerSettings(table, {"main": SiteSettings("main", ORIGIN, **site)})

    def notice(self, token: str, cookies: dict[str, str] | None = None) -> Notice:
        return Notice(token, f"{ORIGIN}/", cookies or {}, self.now(), self.now())

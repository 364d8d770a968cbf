"""An in-memory balancer: forwards one request per connection to the node that a balancer model chooses, and
records every request for tests.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from lbcompanion.http1.heads import head_end, read_request_head
from lbcompanion.testing.balancer_models import BalancerModel, Choice, NodeStates, pairs
from lbcompanion.testing.network import Host

_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@frozen
class ForwardedRequest:
    """A request that the balancer received.

    :ivar client: the client's address.
    :ivar raw: the request's head, as received.
    :ivar considered_up: the nodes that the balancer considered up.
    """

    at: float
    client: str
    method: str
    path: str
    raw: bytes = field(repr=False)
    choice: Choice
    considered_up: tuple[str, ...]


@define
class InMemoryBalancer:
    """A balancer on port 80 of its host.

    :ivar nodes: name to the address of the node's companion.
    :ivar down: the nodes that failed its health checks.
    :ivar draining: the nodes that get no new visitors.
    :ivar maintained: the nodes that get no request at all, although they may be alive.
    :ivar caching: whether a cache that heeds nothing stands before it, and gives to all who GET a path what the first
        one got.
    :ivar forwarded: all requests, oldest first.
    """

    host: Host
    model: BalancerModel
    nodes: dict[str, tuple[str, int]]
    down: set[str] = field(factory=set)
    draining: set[str] = field(factory=set)
    maintained: set[str] = field(factory=set)
    caching: bool = False
    cache: dict[str, bytes] = field(factory=dict, repr=False)
    forwarded: list[ForwardedRequest] = field(factory=list)

    def listen(self) -> None:
        """Start listening."""
        factory = Factory.forProtocol(lambda: _ClientConnection(self))
        factory.noisy = False
        self.host.listenTCP(80, factory)

    def route(self, client: str, raw: bytes) -> Choice:
        """Choose a node for a request, and record the request."""
        head = read_request_head(raw, 100)
        cookies = pairs(b"; ".join(head.all(b"cookie")).decode("latin-1"))
        up = tuple(name for name in self.nodes if name not in self.down | self.maintained)
        open_to_all = tuple(name for name in up if name not in self.draining)
        choice = self.model.choose(cookies, NodeStates(open_to_all, frozenset(self.draining.intersection(up))))
        method, path = head.method.decode(), head.path.decode("latin-1")
        self.forwarded.append(ForwardedRequest(self.host.seconds(), client, method, path, raw, choice, up))
        return choice

    def cache_key(self, raw: bytes) -> str:
        """Return the cache key of a request; empty if it is not cached."""
        method, path, _ = raw.split(b" ", 2)
        return path.decode("latin-1") if self.caching and method == b"GET" else ""

    def head_for_node(self, raw: bytes, client: str) -> bytes:
        """Return a request's head as forwarded to the node, without cookies that the balancer hides."""
        lines = []
        for line in raw.split(b"\r\n")[:-2]:
            name, colon, value = line.partition(b":")
            lower = name.lower()
            if colon and lower == b"connection":
                continue
            if colon and lower == b"cookie":
                cookie_pairs = self.model.cookies_for_node(pairs(value.decode("latin-1")))
                cookies = "; ".join(f"{one}={what}" for one, what in cookie_pairs).encode("latin-1")
                lines += [b"Cookie: " + cookies] if cookie_pairs else []
                continue
            lines.append(line)
        lines += [b"X-Forwarded-For: " + client.encode(), b"Connection: close", b"", b""]
        return b"\r\n".join(lines)

    def head_for_client(self, choice: Choice, head: bytes) -> bytes:
        """Return a response's head as forwarded to the client, with the balancer's cookies added or rewritten."""
        first, *lines = head.split(b"\r\n")
        return b"\r\n".join(
            [
                first,
                *(b"Set-Cookie: " + line.encode() for line in choice.set_cookies),
                *(line for one in lines for line in self._set_cookie(choice.node, one)),
            ]
        )

    def _set_cookie(self, node: str, line: bytes) -> list[bytes]:
        name, _, value = line.partition(b":")
        if name.lower() != b"set-cookie":
            return [line]
        pair, semicolon, attributes = value.decode("latin-1").partition(";")
        pairs_set = self.model.cookies_for_visitor(node, pairs(pair))
        return [f"Set-Cookie: {one}={what}{semicolon}{attributes}".encode("latin-1") for one, what in pairs_set]


class _ClientConnection(Protocol):
    """A client's connection."""

    def __init__(self, balancer: InMemoryBalancer) -> None:
        self._balancer = balancer
        self._buffer = b""
        self._node: _NodeConnection | None = None
        self._routed = False
        self._choice = Choice("")
        self._cache_key = ""
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        if self._node is not None:
            self._node.write(data)
            return
        self._buffer += data
        end = head_end(self._buffer)
        if self._routed or end < 0:
            return
        self._routed = True
        transport: Any = self.transport
        self._cache_key = self._balancer.cache_key(self._buffer)
        if known := self._balancer.cache.get(self._cache_key, b""):
            transport.write(known)
            transport.loseConnection()
            return
        self._choice = self._balancer.route(transport.getPeer().host, self._buffer[:end])
        if not self._choice.node:
            self._refuse()
            return
        address = self._balancer.nodes[self._choice.node]
        endpoint = TCP4ClientEndpoint(self._balancer.host, *address, timeout=5)
        factory = Factory.forProtocol(lambda: _NodeConnection(self, self._balancer, self._choice))
        factory.noisy = False
        endpoint.connect(factory).addCallbacks(self._connected, lambda _failure: self._refuse())

    def _transport(self) -> Any:
        return self.transport

    def _connected(self, node: Any) -> None:
        if self.gone:
            node.abort()
            return
        self._node = node
        end = head_end(self._buffer)
        node.write(self._balancer.head_for_node(self._buffer[:end], self._transport().getPeer().host))
        node.write(self._buffer[end:])

    def store_response(self, response: bytes) -> None:
        """Store a complete response in the cache, if caching."""
        if self._cache_key and self._balancer.caching:
            self._balancer.cache.setdefault(self._cache_key, response)

    def _refuse(self) -> None:
        if not self.gone:
            self._transport().write(_UNAVAILABLE)
            self._transport().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        if self._node is not None:
            self._node.abort()


class _NodeConnection(Protocol):
    """The connection to a node."""

    def __init__(self, client: _ClientConnection, balancer: InMemoryBalancer, choice: Choice) -> None:
        self._client = client
        self._balancer = balancer
        self._choice = choice
        self._response = b""

    def abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        if not self._response:
            end = head_end(data)
            if end < 0:
                raise AssertionError("a node writes its head in one piece")
            data = self._balancer.head_for_client(self._choice, data[:end]) + data[end:]
        self._response += data
        if not self._client.gone and self._client.transport is not None:
            self._client.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        clean = reason.check(ConnectionDone)
        if clean and self._response:
            self._client.store_response(self._response)
        client: Any = self._client.transport
        if not self._client.gone and client is not None:
            client.loseConnection() if clean else client.abortConnection()

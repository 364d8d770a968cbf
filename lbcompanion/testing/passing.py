"""A balancer in a network in memory: one request a connection, passed on to the node that a model of
stickiness chooses. What passed is written down, for tests to look at.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from lbcompanion.http1.heads import head_end, read_request_head
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import parse, render
from lbcompanion.testing.network import Host
from lbcompanion.testing.sticking import Choice, Sticking

_NOBODY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@frozen
class Passed:
    """A request that came to the balancer.

    :ivar client: the client's address.
    :ivar raw: the request's head, as it came.
    :ivar believed_up: what the balancer took for being up.
    """

    at: float
    client: str
    method: str
    path: str
    raw: bytes = field(repr=False)
    choice: Choice
    believed_up: tuple[str, ...]


@define
class Balancer:
    """Listens at port 80 of its host.

    :ivar nodes: name to the address of the node's companion.
    :ivar down: the nodes that its health checks found to be down.
    :ivar passed: all requests, oldest first.
    """

    host: Host
    sticking: Sticking
    nodes: dict[str, tuple[str, int]]
    down: set[str] = field(factory=set)
    passed: list[Passed] = field(factory=list)

    def listen(self) -> None:
        """Begin."""
        factory = Factory.forProtocol(lambda: _Front(self))
        factory.noisy = False
        self.host.listenTCP(80, factory)

    def route(self, client: str, raw: bytes) -> Choice:
        """Choose for a request, and write that down."""
        head = read_request_head(raw, 100)
        cookies = parse(b"; ".join(head.all(b"cookie")))
        up = tuple(name for name in self.nodes if name not in self.down)
        choice = self.sticking.choose(cookies, up)
        method, path = head.method.decode(), head.path.decode("latin-1")
        self.passed.append(Passed(self.host.seconds(), client, method, path, raw, choice, up))
        return choice


class _Front(Protocol):
    """A client's connection."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._buffer = b""
        self._back: _Back | None = None
        self._begun = False
        self._choice = Choice("")
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        if self._back is not None:
            self._back.write(data)
            return
        self._buffer += data
        end = head_end(self._buffer)
        if self._begun or end < 0:
            return
        self._begun = True
        transport: Any = self.transport
        self._choice = self._balancer.route(transport.getPeer().host, self._buffer[:end])
        if not self._choice.node:
            self._refuse()
            return
        address = self._balancer.nodes[self._choice.node]
        endpoint = TCP4ClientEndpoint(self._balancer.host, *address, timeout=5)
        factory = Factory.forProtocol(lambda: _Back(self, self._choice.set_cookie))
        factory.noisy = False
        endpoint.connect(factory).addCallbacks(self._connected, lambda _failure: self._refuse())

    def _transport(self) -> Any:
        return self.transport

    def _connected(self, back: Any) -> None:
        if self.gone:
            back.leave()
            return
        self._back = back
        end = head_end(self._buffer)
        back.write(_onward(self._buffer[:end], self._choice.hidden, self._transport().getPeer().host))
        back.write(self._buffer[end:])

    def _refuse(self) -> None:
        if not self.gone:
            self._transport().write(_NOBODY)
            self._transport().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        if self._back is not None:
            self._back.leave()


class _Back(Protocol):
    """The connection to a node."""

    def __init__(self, front: _Front, set_cookie: str) -> None:
        self._front = front
        self._set_cookie = set_cookie.encode()

    def leave(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        if self._set_cookie:
            line, end, rest = data.partition(b"\r\n")
            if not end:
                raise AssertionError("a node writes its head in one piece")
            data = line + end + b"Set-Cookie: " + self._set_cookie + end + rest
            self._set_cookie = b""
        if not self._front.gone and self._front.transport is not None:
            self._front.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        front: Any = self._front.transport
        if not self._front.gone and front is not None:
            front.loseConnection() if reason.check(ConnectionDone) else front.abortConnection()


def _onward(raw: bytes, hidden: str, client: str) -> bytes:
    """A request's head for the node: without the balancer's own cookie where it keeps that to itself."""
    lines = []
    for line in raw.split(b"\r\n")[:-2]:
        name, colon, value = line.partition(b":")
        lower = name.lower()
        if colon and lower == b"connection":
            continue
        if colon and hidden and lower == b"cookie":
            kept = [RoutingCookie(one, what) for one, what in parse(value).items() if one != hidden]
            if kept:
                lines.append(b"Cookie: " + render(kept).encode("latin-1"))
            continue
        lines.append(line)
    lines += [b"X-Forwarded-For: " + client.encode(), b"Connection: close", b"", b""]
    return b"\r\n".join(lines)

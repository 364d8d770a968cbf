from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lbcompanion.testing.network import ConnectionEnd, Host, MemoryNetwork


class RecordingProtocol(Protocol):
    """Writes down what its transport tells it."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Pair:
    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.client, self.server = self.network.host("10.0.0.1"), self.network.host("10.0.0.2", "server.example")
        self.taken: list[RecordingProtocol] = []
        listening = Factory.forProtocol(self._take)
        self.network.result_of(TCP4ServerEndpoint(self.server, 80).listen(listening))

    def _take(self) -> RecordingProtocol:
        self.taken.append(RecordingProtocol())
        return self.taken[-1]

    def dial(self, name: str = "server.example", port: int = 80) -> Deferred[Any]:
        return HostnameEndpoint(self.client, name, port).connect(Factory.forProtocol(RecordingProtocol))

    def connect(self) -> tuple[Any, Any]:
        near = self.network.result_of(self.dial())
        return near, self.taken[-1]


def test_it_is_what_it_stands_for() -> None:
    from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTCP, IReactorTime, ITCPTransport

    pair = Pair()
    near, _ = pair.connect()
    assert isinstance(near.transport, ConnectionEnd)
    for interface in (IReactorTime, IReactorTCP, IReactorPluggableNameResolver):
        verifyObject(interface, pair.client)
    verifyObject(ITCPTransport, near.transport)


def test_bytes_are_delivered_in_order_and_only_on_request() -> None:
    pair = Pair()
    near, far = pair.connect()
    near.transport.write(b"a")
    near.transport.writeSequence([b"b", b"c"])
    assert far.data == b""
    pair.network.run_until_idle()
    assert far.data == b"abc"
    assert (far.transport.getPeer(), far.transport.getHost()) == (near.transport.getHost(), near.transport.getPeer())


def test_a_close_comes_behind_what_was_written() -> None:
    pair = Pair()
    near, far = pair.connect()
    near.transport.write(b"last words")
    near.transport.loseConnection()
    near.transport.write(b"too late")
    pair.network.run_until_idle()
    assert far.data == b"last words"
    assert far.lost.check(ConnectionDone)
    assert near.lost.check(ConnectionDone)


def test_who_pauses_gets_nothing_until_resumed() -> None:
    pair = Pair()
    near, far = pair.connect()
    far.transport.pauseProducing()
    near.transport.write(b"x")
    near.transport.loseConnection()
    pair.network.run_until_idle()
    assert (far.data, far.lost) == (b"", None)
    far.transport.resumeProducing()
    pair.network.run_until_idle()
    assert far.data == b"x"
    assert far.lost.check(ConnectionDone)


@pytest.mark.parametrize("which", ["client", "server"])
def test_a_host_that_is_cut_off_is_reached_by_nobody(which: str) -> None:
    pair = Pair()
    near, far = pair.connect()
    host: Host = getattr(pair, which)
    host.cut_off()
    pair.network.run_until_idle()
    assert near.lost.check(ConnectionLost)
    assert far.lost.check(ConnectionLost)
    with pytest.raises(ConnectionRefusedError):
        pair.network.result_of(pair.dial())
    host.reconnect()
    pair.connect()


def test_a_crash_is_heard_by_the_peer_alone_and_ends_all_that_was_to_be() -> None:
    pair = Pair()
    near, far = pair.connect()
    called: list[str] = []
    pair.server.callLater(1, called.append, "dead")
    pair.client.callLater(1, called.append, "alive")
    pair.server.crash()
    pair.network.pass_time(2)
    assert near.lost.check(ConnectionLost)
    assert far.lost is None
    assert called == ["alive"]
    with pytest.raises(ConnectionRefusedError):
        pair.network.result_of(pair.dial())


def test_names_and_ports_that_nobody_has() -> None:
    pair = Pair()
    with pytest.raises(ConnectionRefusedError):
        pair.network.result_of(pair.dial(port=81))
    with pytest.raises(DNSLookupError):
        pair.network.result_of(pair.dial("nobody.example"))


def test_what_never_comes_is_an_error() -> None:
    with pytest.raises(AssertionError):
        MemoryNetwork().result_of(Deferred(), patience_seconds=1)

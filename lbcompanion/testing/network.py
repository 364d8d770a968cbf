"""An in-memory network: hosts with addresses, listeners and connections, on one clock that tests advance.

Each host is a reactor of its own, as far as Twisted's endpoints, ``Agent``, its web server and the services of this
project need one. Nothing moves by itself: written bytes wait for :meth:`MemoryNetwork.step`,
:meth:`MemoryNetwork.run_until_idle` or :meth:`MemoryNetwork.pass_time`. A host can be cut off (its processes live
on) or crash (they do not).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

_T = TypeVar("_T")

#: More steps than this count as an endless loop.
_MAX_STEPS = 200_000
_FIRST_FREE_PORT = 49152


class MemoryNetwork:
    """Hosts, their connections and the time.

    :param started_at: the time at the start, seconds since the epoch.
    """

    def __init__(self, started_at: float = 1_795_468_200.0) -> None:
        self.clock = Clock()
        self.clock.advance(started_at)
        self.hosts: dict[str, Host] = {}
        self.names: dict[str, str] = {}
        #: Called with each write: the sending end and the data.
        self.taps: list[Callable[[ConnectionEnd, bytes], None]] = []
        self._queue: deque[Callable[[], None]] = deque()

    def now(self) -> float:
        """The time, seconds since the epoch."""
        return float(self.clock.seconds())

    def host(self, address: str, *names: str) -> Host:
        """Add a host.

        :param address: its IPv4 address.
        :param names: its host names.
        """
        host = self.hosts[address] = Host(self, address)
        self.names.update(dict.fromkeys((address, *names), address))
        return host

    def call_soon(self, call: Callable[[], None]) -> None:
        """Append a call to the queue."""
        self._queue.append(call)

    def step(self) -> bool:
        """Run one queued call, or all delayed calls that are due; return False if there is nothing to do."""
        if self._queue:
            self._queue.popleft()()
            return True
        calls = self.clock.getDelayedCalls()
        if calls and min(call.getTime() for call in calls) <= self.clock.seconds():
            self.clock.advance(0)
            return True
        return False

    def steps(self, count: int) -> None:
        """Run at most this number of steps."""
        for _ in range(count):
            if not self.step():
                return

    def run_until_idle(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run all steps that need no time to pass, or until a condition holds.

        :raises AssertionError: if the steps do not end.
        """
        for _ in range(_MAX_STEPS):
            if until() or not self.step():
                return
        raise AssertionError("the network does not come to rest")

    def result_of(self, result: Deferred[_T], patience_seconds: float = 60.0) -> _T:
        """Run the network, advancing time as needed, until a Deferred fires; return its result.

        :raises AssertionError: if it does not fire in time; otherwise the Deferred's own failure.
        """
        results: list[_T | Failure] = []
        result.addBoth(results.append)
        self.pass_time(patience_seconds, until=lambda: bool(results))
        if not results:
            raise AssertionError("nothing came of it")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def pass_time(self, seconds: float, stride: float = 0.5, until: Callable[[], bool] = lambda: False) -> None:
        """Advance time in strides and run what is due, or until a condition holds."""
        end = self.now() + seconds
        self.run_until_idle(until)
        while self.now() < end and not until():
            self.clock.advance(min(stride, end - self.now()))
            self.run_until_idle(until)


@implementer(IHostnameResolver)
class _Resolver:
    """Resolves the network's host names."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve at once; an unknown name has no address."""
        resolutionReceiver.resolutionBegan(None)
        address = self._network.names.get(hostName)
        if address is not None:
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolutionReceiver  # type: ignore[no-any-return]


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver)
class Host:
    """One host: the reactor of its processes.

    :ivar up: whether it is connected to the network.
    """

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self.network = network
        self.address = address
        self.up = True
        self.nameResolver = _Resolver(network)
        self.listeners: dict[int, _ListeningPort] = {}
        self.ends: set[ConnectionEnd] = set()
        self._calls: list[Any] = []
        self._next_port = _FIRST_FREE_PORT

    # IReactorTime

    def seconds(self) -> float:
        """The time."""
        return self.network.now()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> IDelayedCall:
        """Call later, unless the host crashes before."""
        call: Any = self.network.clock.callLater(delay, callable, *args, **kw)
        if len(self._calls) > 200:
            self._calls = [call for call in self._calls if call.active()]
        self._calls.append(call)
        return call  # type: ignore[no-any-return]

    def getDelayedCalls(self) -> list[Any]:
        """Return the pending delayed calls of this host."""
        return [call for call in self._calls if call.active()]

    # The part of IReactorCore that services use: there is no shutdown, only a crash.

    def addSystemEventTrigger(self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any) -> object:
        """Ignored."""
        return object()

    def removeSystemEventTrigger(self, triggerID: object) -> None:
        """Ignored."""

    # IReactorPluggableNameResolver

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Not supported."""
        raise NotImplementedError

    # IReactorTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Listen; port 0 is any free one."""
        port = port or self._free_port()
        if port in self.listeners:
            raise CannotListenError(interface, port, OSError("in use"))
        listening = self.listeners[port] = _ListeningPort(self, port, factory)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: tuple[str, int] | None = None
    ) -> IConnector:
        """Connect in the next step; fails if no listener is there, or either host is cut off."""
        connector = _Connector(self, host, port, factory)
        connector.connect()
        return connector

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    # Failures.

    def cut_off(self) -> None:
        """Disconnect the host: its connections break, its processes keep running."""
        self.up = False
        for end in list(self.ends):
            end.cut(ConnectionLost())

    def reconnect(self) -> None:
        """Reconnect the host."""
        self.up = True

    def crash(self) -> None:
        """Kill every process, as by ``kill -9``: delayed calls are dropped, connections are closed."""
        for end in list(self.ends):
            end.die()
        for call in self.getDelayedCalls():
            call.cancel()
        self._calls = []
        self.listeners = {}


@implementer(IListeningPort)
class _ListeningPort:
    def __init__(self, host: Host, port: int, factory: Any) -> None:
        self._host = host
        self._port = port
        self.factory = factory

    def startListening(self) -> None:
        self.factory.doStart()

    def stopListening(self) -> None:
        if self._host.listeners.get(self._port) is self:
            del self._host.listeners[self._port]
            self.factory.doStop()

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self._host.address, self._port)


@implementer(IConnector)
class _Connector:
    def __init__(self, host: Host, name: str, port: int, factory: Any) -> None:
        self._host = host
        self._name = name
        self._port = port
        self._factory = factory
        self._given_up = False
        self._end: ConnectionEnd | None = None

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", self._host.network.names.get(self._name, self._name), self._port)

    def connect(self) -> None:
        self._factory.doStart()
        self._factory.startedConnecting(self)
        # Delayed by its host, so that a crash cancels the attempt.
        self._host.callLater(0, self._try)

    def stopConnecting(self) -> None:
        self._given_up = True

    def disconnect(self) -> None:
        if self._end is not None:
            self._end.loseConnection()
        else:
            self.stopConnecting()

    def _try(self) -> None:
        if self._given_up:
            return
        remote_address = self._host.network.hosts.get(self.getDestination().host)
        listening = (
            remote_address.listeners.get(self._port)
            if remote_address is not None and remote_address.up and self._host.up
            else None
        )
        if remote_address is None or listening is None:
            self._failed(ConnectionRefusedError())
            return
        here_at = IPv4Address("TCP", self._host.address, self._host._free_port())
        there_at = IPv4Address("TCP", remote_address.address, self._port)
        taking = listening.factory.buildProtocol(here_at)
        if taking is None:
            self._failed(ConnectionRefusedError())
            return
        asking = self._factory.buildProtocol(there_at)
        near, far = (
            ConnectionEnd(self._host, here_at, there_at, asking),
            ConnectionEnd(remote_address, there_at, here_at, taking),
        )
        near.peer, far.peer = far, near
        self._end = near
        near.connector = self
        taking.makeConnection(far)
        if asking is not None and near.connected:
            asking.makeConnection(near)

    def _failed(self, why: Exception) -> None:
        self._factory.clientConnectionFailed(self, Failure(why))
        self._factory.doStop()

    def lost(self, reason: Failure) -> None:
        """Report that the connection was lost."""
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()


@frozen
class _Data:
    data: bytes


@frozen
class _Disconnected:
    error: Exception


@implementer(ITCPTransport)
@define(eq=False)
class ConnectionEnd:
    """One end of a connection: the transport of a protocol."""

    host: Host
    local_address: IPv4Address
    remote_address: IPv4Address
    protocol: Any
    peer: ConnectionEnd | None = None
    connector: Any = None
    connected: bool = True
    disconnecting: bool = False
    disconnected: bool = False
    paused: bool = False
    producer: Any = None
    inbox: deque[_Data | _Disconnected] = field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self.host.ends.add(self)

    # Called by the protocol.

    def write(self, data: bytes) -> None:
        """Send."""
        if self.connected and not self.disconnecting and data and self.peer is not None:
            for tap in self.host.network.taps:
                tap(self, data)
            self.peer.enqueue(_Data(bytes(data)))

    def writeSequence(self, data: Any) -> None:
        """Send all of it."""
        self.write(b"".join(data))

    def loseConnection(self, *_: Any) -> None:
        """Close after all written data."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.host.network.call_soon(self._close)

    def loseWriteConnection(self) -> None:
        """Half-closing is not supported: closes."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """Close at once."""
        if self.connected:
            self.disconnecting = True
            self.inbox.clear()
            if self.peer is not None:
                self.peer.enqueue(_Disconnected(ConnectionLost()))
            self.host.network.call_soon(lambda: self._lost(ConnectionAborted()))

    def pauseProducing(self) -> None:
        """Stop delivering to the protocol."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Continue delivering."""
        if self.paused:
            self.paused = False
            for _ in self.inbox:
                self.host.network.call_soon(self._deliver)

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001 - Twisted's signature
        """Register a producer; a pull producer is run to its end."""
        self.producer = producer
        while not streaming and self.producer is producer and self.connected:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Remove the producer."""
        self.producer = None

    def getPeer(self) -> IPv4Address:
        """The other end's address."""
        return self.remote_address

    def getHost(self) -> IPv4Address:
        """This end's address."""
        return self.local_address

    def getTcpNoDelay(self) -> bool:
        """Ignored."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001 - Twisted's signature
        """Ignored."""

    def getTcpKeepAlive(self) -> bool:
        """Ignored."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: FBT001 - Twisted's signature
        """Ignored."""

    # Called by the network.

    def enqueue(self, event: _Data | _Disconnected) -> None:
        """Queue an event for this end."""
        self.inbox.append(event)
        if not self.paused:
            self.host.network.call_soon(self._deliver)

    def cut(self, error: Exception) -> None:
        """Break the connection for both ends."""
        for end in (self, self.peer):
            if end is not None and end.connected:
                end.inbox.clear()
                end.paused = False
                end.enqueue(_Disconnected(error))

    def die(self) -> None:
        """End the process at this end; only the other end is notified."""
        self.connected = False
        self.disconnected = True
        self.host.ends.discard(self)
        if self.peer is not None and self.peer.connected:
            self.peer.enqueue(_Disconnected(ConnectionLost()))

    def _close(self) -> None:
        if self.connected and self.peer is not None:
            self.peer.enqueue(_Disconnected(ConnectionDone()))
            self._lost(ConnectionDone())

    def _deliver(self) -> None:
        if not self.connected or self.paused or not self.inbox:
            return
        event = self.inbox.popleft()
        if isinstance(event, _Disconnected):
            self._lost(event.error)
        elif not self.disconnecting:
            self.protocol.dataReceived(event.data)

    def _lost(self, error: Exception) -> None:
        if not self.connected:
            return
        self.connected = False
        self.disconnected = True
        self.inbox.clear()
        self.host.ends.discard(self)
        if self.peer is not None and self.peer.connected and not self.peer.inbox:
            self.peer.enqueue(_Disconnected(ConnectionLost()))
        reason = Failure(error)
        if self.protocol is not None:
            self.protocol.connectionLost(reason)
        if self.connector is not None:
            self.connector.lost(reason)

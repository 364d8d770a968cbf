"""The machines on Twisted's transports: for reactors without an asyncio loop, and for endpoints that asyncio lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.node.links import Machine


class TwistedLink:
    """A link over a Twisted transport."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """See :class:`~lbcompanion.node.links.Link`."""
        self._transport.write(data)

    def close(self) -> None:
        """See :class:`~lbcompanion.node.links.Link`."""
        # A transport waits for a producer that it has paused, and ours will never say that it is done.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def write_eof(self) -> None:
        """See :class:`~lbcompanion.node.links.Link`; over TLS the connection is closed, it knows no half of one."""
        if ISSLTransport.providedBy(self._transport) or not hasattr(self._transport, "loseWriteConnection"):
            self.close()
            return
        self._transport.unregisterProducer()
        self._transport.loseWriteConnection()

    def abort(self) -> None:
        """See :class:`~lbcompanion.node.links.Link`."""
        self._transport.abortConnection()

    def pause_reading(self) -> None:
        """See :class:`~lbcompanion.node.links.Link`."""
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """See :class:`~lbcompanion.node.links.Link`."""
        if not getattr(self._transport, "disconnecting", False):
            self._transport.resumeProducing()

    def get_write_buffer_size(self) -> int:
        """See :class:`~lbcompanion.node.links.Link`; Twisted's transports do not tell, so it is read off them."""
        transport: Any = self._transport
        waiting = sum(map(len, getattr(transport, "_appSendBuffer", ())))
        below = getattr(transport, "transport", None) if ISSLTransport.providedBy(transport) else None
        if below is not None:
            transport = below
        waiting += len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        return int(waiting + getattr(transport, "_tempDataLen", 0))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See :class:`~lbcompanion.node.links.Link`."""
        if name == "ssl_object":
            return ISSLTransport.providedBy(self._transport)
        if name != "peername":
            return default
        peer = self._transport.getPeer()
        host = getattr(peer, "host", None)
        return default if host is None else (host, getattr(peer, "port", 0))


@implementer(IPushProducer, IHalfCloseableProtocol)
class TwistedProtocol(Protocol):
    """Passes what a transport tells on to a machine; stands as its producer, to hear when its queue is full."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def connectionMade(self) -> None:
        """The connection stands."""
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._link = TwistedLink(transport)
        self._machine.connection_made(self._link)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self._machine.data_received(data)

    def readConnectionLost(self) -> None:
        """The peer will send no more."""
        if not self._machine.eof_received():
            self._link.close()

    def writeConnectionLost(self) -> None:
        """We will send no more, and knew it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        transport: Any = self.transport
        transport.unregisterProducer()
        self._machine.connection_lost(None if reason.check(ConnectionDone) else reason.value)

    def pauseProducing(self) -> None:
        """The transport's queue is full."""
        self._machine.pause_writing()

    def resumeProducing(self) -> None:
        """It is low again."""
        self._machine.resume_writing()

    def stopProducing(self) -> None:
        """The transport closes; :meth:`connectionLost` tells the machine."""


class MachineFactory(Factory):
    """Gives each connection a machine.

    :param make: gives a fresh machine.
    """

    noisy = False

    def __init__(self, make: Callable[[], Machine]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """A protocol around a fresh machine."""
        return TwistedProtocol(self._make())

    @classmethod
    def of_one(cls, machine: Machine) -> MachineFactory:
        """For a connection that is made, not taken: all it can give is this machine."""
        return cls(lambda: machine)

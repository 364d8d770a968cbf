"""The machines on Twisted's transports: for reactors without an asyncio loop, and for endpoints that asyncio lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer
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
        self._transport.loseConnection()

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

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See :class:`~lbcompanion.node.links.Link`."""
        if name != "peername":
            return default
        peer = self._transport.getPeer()
        host = getattr(peer, "host", None)
        return default if host is None else (host, getattr(peer, "port", 0))


@implementer(IPushProducer)
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
        self._machine.connection_made(TwistedLink(transport))

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self._machine.data_received(data)

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

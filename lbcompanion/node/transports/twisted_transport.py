"""Connection handlers on Twisted's transports: for reactors without an asyncio loop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.unix import Port as UnixPort
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.endpoints.certificates import ServerCertificate
from lbcompanion.endpoints.tls_listeners import tls_factory
from lbcompanion.node.proxy.interface import ConnectionHandler
from lbcompanion.node.proxy.proxy_header import ProxyHeader
from lbcompanion.node.proxy.proxy_protocol import PendingConnections, ProxyHeaderHandler, WithClientAddress
from lbcompanion.node.proxy.upstream import UpstreamConnection


class TwistedTransport:
    """Adapts a Twisted transport to :class:`~lbcompanion.node.proxy.interface.Transport`."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        self._transport.write(b"".join(list_of_data))

    def close(self) -> None:
        # loseConnection waits for a registered producer to finish, which TwistedProtocol never does.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def write_eof(self) -> None:
        """Close the write side; over TLS close the connection, because Twisted cannot half-close TLS."""
        if ISSLTransport.providedBy(self._transport) or not hasattr(self._transport, "loseWriteConnection"):
            self.close()
            return
        self._transport.unregisterProducer()
        self._transport.loseWriteConnection()

    def abort(self) -> None:
        self._transport.abortConnection()

    def pause_reading(self) -> None:
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        if not getattr(self._transport, "disconnecting", False):
            self._transport.resumeProducing()

    def get_write_buffer_size(self) -> int:
        """Read the size from private attributes: Twisted's transports have no method for it."""
        transport: Any = self._transport
        waiting = sum(map(len, getattr(transport, "_appSendBuffer", ())))
        below = getattr(transport, "transport", None) if ISSLTransport.providedBy(transport) else None
        if below is not None:
            transport = below
        waiting += len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        return int(waiting + getattr(transport, "_tempDataLen", 0))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return ISSLTransport.providedBy(self._transport)
        if name != "peername":
            return default
        peer = self._transport.getPeer()
        host = getattr(peer, "host", None)
        return default if host is None else (host, getattr(peer, "port", 0))


@implementer(IPushProducer, IHalfCloseableProtocol)
class TwistedProtocol(Protocol):
    """Passes the events of a Twisted transport on to a handler.

    It registers itself as the transport's producer: ``pauseProducing`` then reports a full queue."""

    def __init__(self, handler: ConnectionHandler) -> None:
        self._handler = handler

    def connectionMade(self) -> None:
        """Connect the handler."""
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._adapter = TwistedTransport(transport)
        self._handler.connection_made(self._adapter)

    def dataReceived(self, data: bytes) -> None:
        """Pass the bytes on."""
        self._handler.data_received(data)

    def readConnectionLost(self) -> None:
        """The peer closed its write side."""
        if not self._handler.eof_received():
            self._adapter.close()

    def writeConnectionLost(self) -> None:
        """Ignore it: the companion itself closed the write side."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is closed."""
        transport: Any = self.transport
        transport.unregisterProducer()
        self._handler.connection_lost(None if reason.check(ConnectionDone) else reason.value)

    def pauseProducing(self) -> None:
        """The transport's queue is full."""
        self._handler.pause_writing()

    def resumeProducing(self) -> None:
        """The transport's queue is low again."""
        self._handler.resume_writing()

    def stopProducing(self) -> None:
        """Ignore it: :meth:`connectionLost` follows."""


class HandlerFactory(Factory):
    """Gives each connection a handler.

    :param make_handler: creates a handler.
    """

    noisy = False

    def __init__(self, make_handler: Callable[[], ConnectionHandler]) -> None:
        self._make_handler = make_handler

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """A protocol around a new handler."""
        return TwistedProtocol(self._make_handler())


class _ReadsRest:
    """A socket that delivers what the application sent before it closed, although a write has failed meanwhile.

    Twisted closes a connection at a failed write. This socket discards such a write, so that Twisted reads on to the
    end. Linux keeps what arrived before the reset. After ECONNRESET the end is an error, since bytes may be missing;
    after EPIPE it is orderly, since the kernel got FIN before the reset.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._was_reset = False

    def send(self, data: bytes | memoryview) -> int:
        """Send, or discard the data if the peer has closed."""
        try:
            return self._socket.send(data)
        except ConnectionResetError:
            self._was_reset = True
        except BrokenPipeError:
            pass
        return len(data)

    def recv(self, size: int) -> bytes:
        """Receive.

        :raises ConnectionResetError: at the end, if a write has failed by it.
        """
        data = self._socket.recv(size)
        if not data and self._was_reset:
            raise ConnectionResetError(errno.ECONNRESET, "the application reset the connection")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _read_rest(transport: Any) -> None:
    """Have the socket of a connection to the application deliver what came before a failed write."""
    below: Any = transport
    while isinstance(below, TLSMemoryBIOProtocol):
        below = below.transport
    if (connected := getattr(below, "socket", None)) is not None:
        below.socket = _ReadsRest(connected)


class _DialProtocol(TwistedProtocol):
    """A connection to the application."""

    def connectionMade(self) -> None:
        """Connect the handler."""
        _read_rest(self.transport)
        super().connectionMade()


@implementer(IHandshakeListener)
class _TlsDialProtocol(_DialProtocol):
    """A TLS connection to the application: its handler is notified after the handshake succeeded or failed."""

    def __init__(self, upstream: UpstreamConnection, timeout_seconds: float, reactor: Any) -> None:
        super().__init__(upstream)
        self._upstream = upstream
        self._connected = False
        self._failure_word = "tls"
        self._handshake_timeout = reactor.callLater(timeout_seconds, self._on_handshake_timeout)

    def connectionMade(self) -> None:
        """Wait for the TLS handshake."""

    def handshakeCompleted(self) -> None:
        """The certificate was verified: connect the handler."""
        self._handshake_timeout.cancel()
        self._connected = True
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The handshake failed, or the connection is closed."""
        if self._connected:
            super().connectionLost(reason)
            return
        if self._handshake_timeout.active():
            self._handshake_timeout.cancel()
        self._upstream.dial_failed(self._failure_word)

    def _on_handshake_timeout(self) -> None:
        self._failure_word = "timeout"
        transport: Any = self.transport
        transport.abortConnection()


class DialFactory(Factory):
    """A factory for one connection to the application."""

    noisy = False

    def __init__(self, upstream: UpstreamConnection) -> None:
        self._upstream = upstream

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """The protocol around the handler."""
        return _DialProtocol(self._upstream)


class TlsDialFactory(Factory):
    """A factory for one TLS connection to the application.

    :param timeout_seconds: the timeout of the handshake.
    """

    noisy = False

    def __init__(self, upstream: UpstreamConnection, timeout_seconds: float, reactor: Any) -> None:
        self._upstream = upstream
        self._timeout_seconds = timeout_seconds
        self._reactor = reactor

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """The protocol around the handler."""
        return _TlsDialProtocol(self._upstream, self._timeout_seconds, self._reactor)


class ProxyHeaderFactory(Factory):
    """Gives each connection a PROXY header handler, which the visitor's handler replaces after the header.

    :param certificate: for TLS after the header; None for plain connections.
    """

    noisy = False

    def __init__(
        self,
        make_handler: Callable[[], ConnectionHandler],
        certificate: ServerCertificate | None,
        pending: PendingConnections,
    ) -> None:
        self._make_handler = make_handler
        self._certificate = certificate
        self._pending = pending

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """A protocol around the PROXY header handler."""
        protocol: TwistedProtocol

        def on_header(_transport: Any, header: ProxyHeader, rest: bytes) -> None:
            transport: Any = protocol.transport
            transport.unregisterProducer()
            factory: Factory = HandlerFactory(lambda: WithClientAddress(self._make_handler(), header))
            if self._certificate is not None:
                factory = tls_factory(factory, self._certificate)
            inner: Any = factory.buildProtocol(addr)
            transport.protocol = inner
            inner.makeConnection(transport)
            if rest:
                inner.dataReceived(rest)

        protocol = TwistedProtocol(ProxyHeaderHandler(self._pending, on_header))
        return protocol


class SharedUnixPort(UnixPort):
    """A listening unix socket that other processes may share.

    Twisted's own port for an inherited unix socket would change its mode, shut it down for all processes and remove
    its file."""

    def startListening(self) -> None:
        """Start accepting."""
        port: Any = self
        port._shouldShutdown = False
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.connected = True
        port.fileno = port.socket.fileno
        port.numberAccepts = 100
        port.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Stop accepting."""
        port: Any = self
        port._logConnectionLostMsg = lambda: None
        TcpPort.connectionLost(self, reason)

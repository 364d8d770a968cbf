"""The machines on asyncio's loop: plain connections on links of ours, TLS on asyncio's own transports."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lbcompanion.endpoints.certificates import ClientCertificates, ServerCertificate
from lbcompanion.node.proxy.interface import ConnectionHandler, Transport
from lbcompanion.node.proxy.proxy_header import ProxyHeader
from lbcompanion.node.proxy.proxy_protocol import ClientAddressTransport, PendingConnections, ProxyHeaderHandler
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.transports.socket_transport import SocketServer, SocketTransport, connect_socket
from lbcompanion.node.transports.sockets import BACKLOG

#: How many connections one process takes at a time where several share the socket, so that none takes them all.
_FAIR_SHARE = 8
#: How long a closing TLS connection may take to send what is written and to hear the other end's close: not sooner
#: than :mod:`.visitor` gives a plain one up.
_TLS_CLOSING_SECONDS = 60.0
#: How long a visitor has to say goodbye over TLS once everything is written.
_GOODBYE_SECONDS = 1.0


async def serve_socket(
    loop: asyncio.AbstractEventLoop,
    listening: socket.socket,
    make_handler: Callable[[], ConnectionHandler],
    certificate: ServerCertificate | None = None,
    pending: PendingConnections | None = None,
    head_seconds: float = 10.0,
    shared: bool = False,
) -> asyncio.Server | SocketServer:
    """Serve an open socket; each connection gets a fresh machine.

    :param certificate: None: without TLS.
    :param pending: None: connections begin with no PROXY header.
    :param head_seconds: for a TLS handshake.
    :param shared: whether other processes serve the same socket.
    """
    factory: Any = make_handler  # asyncio asks for its own base class, in types only
    if certificate is not None or pending is not None:
        factory = _FirstHandlerFactory(loop, make_handler, certificate, pending, head_seconds)
    accept_batch = _FAIR_SHARE if shared else BACKLOG
    if certificate is None:
        listening.listen(BACKLOG)
        return SocketServer(loop, listening, factory, accept_batch)
    server = await loop.create_server(factory, sock=listening, backlog=accept_batch)
    # asyncio uses one number for what it takes at once and for what may wait.
    listening.listen(BACKLOG)
    return server


class _FirstHandlerFactory:
    """Makes what stands at the start of a connection: a header's reader, TLS, or the one and then the other.

    What balancers send comes before TLS begins, in the clear. :meth:`asyncio.loop.start_tls` would lose what came in
    the same piece as the header, so the protocol that it uses is put in place here, and fed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_handler: Callable[[], ConnectionHandler],
        certificate: ServerCertificate | None,
        pending: PendingConnections | None,
        head_seconds: float,
    ) -> None:
        self._loop = loop
        self._make_handler = make_handler
        self._certificate = certificate
        self._pending = pending
        self._head_seconds = head_seconds

    def __call__(self) -> Any:
        if self._pending is not None:
            return ProxyHeaderHandler(self._pending, self._on_header)
        return self._tls(None, None)

    def _tls(self, peername: tuple[str, int] | None, encrypted: bool | None) -> _TlsProtocol:
        assert self._certificate is not None
        app: Any = _TlsHandler(self._make_handler(), peername, encrypted)
        app.tls = tls = _TlsProtocol(
            self._loop,
            app,
            self._certificate.context,
            None,  # type: ignore[arg-type]  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=self._head_seconds,  # type: ignore[arg-type]  # typeshed knows whole seconds only
            ssl_shutdown_timeout=_TLS_CLOSING_SECONDS,
        )
        return tls

    def _on_header(self, transport: Any, header: ProxyHeader, rest: bytes) -> None:
        if self._certificate is None:
            handler = self._make_handler()
            transport.set_protocol(handler)
            handler.connection_made(ClientAddressTransport(transport, header.source, header.encrypted))
            if rest:
                handler.data_received(rest)
            return
        tls = self._tls(header.source, header.encrypted)
        transport.set_protocol(tls)
        tls.connection_made(transport)
        while rest:
            room = memoryview(tls.get_buffer(len(rest)))
            piece = rest[: len(room)]
            room[: len(piece)] = piece
            tls.buffer_updated(len(piece))
            rest = rest[len(piece) :]


class _TlsProtocol(SSLProtocol):
    """TLS on a visitor's connection, which does not wait long for the visitor's own goodbye.

    asyncio waits for the peer's ``close_notify``; RFC 8446 section 6.1 asks for none, and who keeps a connection open
    after it has read our end would hold up a process that is to leave.
    """

    _tcp_transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """The connection stands: TLS begins on it."""
        self._tcp_transport = transport
        self._running_loop = asyncio.get_running_loop()
        super().connection_made(transport)

    def close_soon(self) -> None:
        """The machine has closed: close for good a moment after everything is written."""
        self._running_loop.call_later(_GOODBYE_SECONDS, self._check_written)

    def _check_written(self) -> None:
        if self._tcp_transport.get_write_buffer_size() == 0:
            self._tcp_transport.abort()
        else:
            self.close_soon()


class _TlsTransport(ClientAddressTransport):
    """A link over asyncio's TLS, which knows no half of a connection.

    :param tls: whose connection is to end soon after :meth:`close`; None: as asyncio does it.
    """

    def __init__(
        self, transport: Any, peername: tuple[str, int] | None, encrypted: bool | None, tls: _TlsProtocol | None
    ) -> None:
        super().__init__(transport, peername, encrypted)
        self._close = transport.close
        self._tls = tls
        self.write_eof = _nothing
        self.close = self._close_soon

    def _close_soon(self) -> None:
        self._close()
        if self._tls is not None:
            self._tls.close_soon()


def _nothing() -> None:
    """Tell nothing: who waits for our end reads it in the answer's framing, and the close follows soon."""


class _TlsHandler:
    """A machine in front of another, within TLS. Both what it gets and what it asks for go straight on."""

    def __init__(self, handler: ConnectionHandler, peername: tuple[str, int] | None, encrypted: bool | None) -> None:
        self._handler = handler
        self._client = (peername, encrypted)
        self.tls: _TlsProtocol | None = None
        self.data_received = handler.data_received
        self.connection_lost = handler.connection_lost
        self.pause_writing = handler.pause_writing
        self.resume_writing = handler.resume_writing

    def connection_made(self, transport: Any) -> None:
        """The handshake is done."""
        self._handler.connection_made(_TlsTransport(transport, *self._client, self.tls))

    def eof_received(self) -> bool:
        """The peer said that it closes; TLS keeps no direction open, whatever the machine would like."""
        self._handler.eof_received()
        return False


class AsyncioDialer:
    """Makes connections to one address.

    :param address: ``("tcp", host, port)`` or ``("unix", path)``.
    :param bind_address: the address to connect from; empty: any.
    :param certificates: None: without TLS.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        address: tuple[Any, ...],
        timeout_seconds: float,
        bind_address: str = "",
        certificates: ClientCertificates | None = None,
    ) -> None:
        self._loop = loop
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._bind_address = bind_address
        self._certificates = certificates
        self._dialling: set[asyncio.Task[None]] = set()

    def __call__(self, upstream: UpstreamConnection) -> None:
        """Start; ends in the machine's ``connection_made`` or ``dial_failed``."""
        task = self._loop.create_task(self._dial(upstream))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, upstream: UpstreamConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connected = await connect_socket(self._loop, self._address, self._bind_address)
                if self._certificates is not None:
                    await self._connect_tls(upstream, connected, self._certificates)
                    return
        except TimeoutError:
            upstream.dial_failed("timeout")
        except ConnectionRefusedError:
            upstream.dial_failed("refused")
        except ssl.SSLError:
            upstream.dial_failed("tls")
        except OSError:
            upstream.dial_failed("unreachable")
        else:
            SocketTransport(self._loop, connected, upstream).start()

    async def _connect_tls(
        self, upstream: UpstreamConnection, connected: socket.socket, certificates: ClientCertificates
    ) -> None:
        factory: Any = lambda: _TlsHandler(upstream, None, None)  # noqa: E731
        try:
            await self._loop.create_connection(
                factory, sock=connected, ssl=certificates.context, server_hostname=certificates.hostname
            )
        except BaseException:
            connected.close()
            raise


if TYPE_CHECKING:
    _transport: type[Transport] = _TlsTransport
    _transport = SocketTransport
    _handler: type[ConnectionHandler] = _TlsHandler

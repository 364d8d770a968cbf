"""Connection handlers on asyncio's loop: those of visitors in TLS on asyncio's own transports, all others on
:mod:`.socket_transport`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lbcompanion.endpoints.certificates import ClientCertificates, ServerCertificate
from lbcompanion.node.proxy.interface import ConnectionHandler, Transport
from lbcompanion.node.proxy.proxy_header import ProxyHeader
from lbcompanion.node.proxy.proxy_protocol import ClientAddressTransport, PendingConnections, ProxyHeaderHandler
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.transports.connecting import Address, Connecting, Target, connect_socket
from lbcompanion.node.transports.socket_transport import SocketServer, SocketTransport, without_delay
from lbcompanion.node.transports.sockets import BACKLOG

#: Connections accepted per iteration if several processes share the socket, so that none accepts them all.
_FAIR_SHARE = 8
#: How long a closing TLS connection may take to send its queue and to receive ``close_notify``: no less than the
#: closing timeout of :mod:`lbcompanion.node.proxy.visitor`.
_TLS_CLOSING_SECONDS = 60.0
#: How long to wait for the ``close_notify`` of a visitor after the queue is sent.
_GOODBYE_SECONDS = 1.0


async def serve_socket(
    loop: asyncio.AbstractEventLoop,
    listening: socket.socket,
    make_handler: Callable[[], ConnectionHandler],
    certificate: ServerCertificate | None = None,
    pending: PendingConnections | None = None,
    head_seconds: float = 10.0,
    *,
    shared: bool = False,
) -> asyncio.Server | SocketServer:
    """Serve a listening socket; each connection gets a new handler.

    :param certificate: for TLS; None for plain connections.
    :param pending: where connections wait for a PROXY header; None if they begin without one.
    :param head_seconds: the timeout of a TLS handshake.
    :param shared: whether other processes serve the same socket.
    """
    factory: Any = make_handler  # typeshed wants asyncio.BaseProtocol
    if certificate is not None or pending is not None:
        factory = _FirstHandlerFactory(loop, make_handler, certificate, pending, head_seconds)
    accept_batch = _FAIR_SHARE if shared else BACKLOG
    if certificate is None:
        listening.listen(BACKLOG)
        return SocketServer(loop, listening, factory, accept_batch)
    # asyncio does this only for sockets that name their protocol; accepted ones do not. Otherwise the first response
    # would wait until the visitor acknowledges the session tickets that follow the handshake.
    without_delay(listening)
    server = await loop.create_server(factory, sock=listening, backlog=accept_batch)
    # asyncio uses backlog= as batch size of accept too, so the backlog is set separately.
    listening.listen(BACKLOG)
    return server


class _FirstHandlerFactory:
    """Creates the first handler of a connection: for the PROXY header, for TLS, or for the header and then TLS.

    The PROXY header precedes TLS in clear text. :meth:`asyncio.loop.start_tls` would lose bytes received together with
    the header, so its protocol class is installed here and fed with these bytes.
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
        self._received = _received_bytes()

    def __call__(self) -> Any:
        if self._pending is not None:
            return ProxyHeaderHandler(self._pending, self._on_header)
        return self._tls(None, encrypted=None)

    def _tls(self, peername: tuple[str, int] | None, *, encrypted: bool | None) -> _TlsProtocol:
        assert self._certificate is not None
        app: Any = _TlsHandler(self._make_handler(), peername, encrypted=encrypted)
        app.tls = tls = _TlsProtocol(
            self._received,
            self._loop,
            app,
            self._certificate.context,
            None,  # no waiter for the handshake
            server_side=True,
            ssl_handshake_timeout=self._head_seconds,
            ssl_shutdown_timeout=_TLS_CLOSING_SECONDS,
        )
        return tls

    def _on_header(self, transport: Any, header: ProxyHeader, rest: bytes) -> None:
        if self._certificate is None:
            handler = self._make_handler()
            transport.set_protocol(handler)
            handler.connection_made(ClientAddressTransport(transport, header.source, encrypted=header.encrypted))
            if rest:
                handler.data_received(rest)
            return
        tls = self._tls(header.source, encrypted=header.encrypted)
        transport.set_protocol(tls)
        tls.connection_made(transport)
        _feed(tls, rest)


def _feed(tls: SSLProtocol, data: bytes) -> None:
    """Give received bytes to asyncio's TLS, which otherwise reads into a buffer of its own."""
    while data:
        room = memoryview(tls.get_buffer(len(data)))
        piece = data[: len(room)]
        room[: len(piece)] = piece
        tls.buffer_updated(len(piece))
        data = data[len(piece) :]


class _SharedBufferTls(SSLProtocol):
    """asyncio's TLS with one buffer for all connections of a listener or target.

    asyncio allocates 256 KiB for each connection, and keeps them for as long as the connection lasts. The buffer is in
    use only from ``get_buffer`` to the first line of ``buffer_updated``: nothing else runs in the loop in between. If
    asyncio renamed the two attributes, each connection would have a buffer of ``max_size`` again.

    :param buffer: the shared buffer.
    """

    #: How much is decrypted at once. A TLS record has no more (RFC 8446 section 5.1), and one read returns one record.
    max_size = 16384

    def __init__(self, buffer: bytearray, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ssl_buffer = buffer
        self._ssl_buffer_view = memoryview(buffer)


def _received_bytes() -> bytearray:
    """A buffer for received bytes, as large as asyncio's own."""
    return bytearray(SSLProtocol.max_size)


class _UpstreamTls(_SharedBufferTls):
    """TLS to the application on a :class:`.SocketTransport`.

    asyncio's own transport drops what was received before a failed write, such as a response that refuses an upload.
    """

    def data_received(self, data: bytes) -> None:
        """Decrypt bytes."""
        _feed(self, data)


class _TlsProtocol(_SharedBufferTls):
    """TLS on a visitor's connection, with a short wait for the visitor's ``close_notify``.

    asyncio waits longer for it, although RFC 8446 section 6.1 does not require it; a visitor that keeps its connection
    open would delay a process that is draining.
    """

    _tcp_transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Start the handshake."""
        self._tcp_transport = transport
        self._running_loop = asyncio.get_running_loop()
        super().connection_made(transport)

    def close_soon(self) -> None:
        """The handler closed: abort the connection shortly after the queue is sent."""
        self._running_loop.call_later(_GOODBYE_SECONDS, self._check_written)

    def _check_written(self) -> None:
        if self._tcp_transport.get_write_buffer_size() == 0:
            self._tcp_transport.abort()
        else:
            self.close_soon()


class _TlsTransport(ClientAddressTransport):
    """A transport over asyncio's TLS, which cannot half-close.

    :param tls: the protocol whose wait for ``close_notify`` is cut short; None keeps asyncio's behaviour.
    """

    def __init__(
        self, transport: Any, peername: tuple[str, int] | None, tls: _TlsProtocol | None, *, encrypted: bool | None
    ) -> None:
        super().__init__(transport, peername, encrypted=encrypted)
        self.write_eof = _nothing
        if tls is not None:
            # No method of this object, which would refer to itself then: a closed connection is freed at once.
            self.close = partial(_close_soon, transport.close, tls)


def _close_soon(close: Callable[[], None], tls: _TlsProtocol) -> None:
    close()
    tls.close_soon()


def _nothing() -> None:
    """Do nothing: the response's framing shows its end, and the close follows soon."""


class _TlsHandler:
    """Passes events and calls inside TLS on to the inner handler."""

    def __init__(self, handler: ConnectionHandler, peername: tuple[str, int] | None, *, encrypted: bool | None) -> None:
        self._handler = handler
        self._peername, self._encrypted = peername, encrypted
        self.tls: _TlsProtocol | None = None
        self.data_received = handler.data_received
        self.connection_lost = handler.connection_lost
        self.pause_writing = handler.pause_writing
        self.resume_writing = handler.resume_writing

    def connection_made(self, transport: Any) -> None:
        """Connect the inner handler after the handshake."""
        self._handler.connection_made(_TlsTransport(transport, self._peername, self.tls, encrypted=self._encrypted))

    def eof_received(self) -> bool:
        """The peer sent ``close_notify``; return False, since asyncio cannot keep one direction of TLS open."""
        self._handler.eof_received()
        return False


class AsyncioDialer:
    """Connects to one target: plain connections within the call where possible, TLS in a task.

    :param target: ``("tcp", host, port)`` or ``("unix", path)``.
    :param bind_address: the source address; empty for any.
    :param certificates: for TLS; None for plain connections.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        target: tuple[Any, ...],
        timeout_seconds: float,
        bind_address: str = "",
        certificates: ClientCertificates | None = None,
    ) -> None:
        self._loop = loop
        self._target = Target(loop, target)
        self._timeout_seconds = timeout_seconds
        self._bind_address = bind_address
        self._certificates = certificates
        self._dialling: set[asyncio.Task[None]] = set()
        self._received = _received_bytes() if certificates is not None else bytearray()

    def __call__(self, upstream: UpstreamConnection) -> None:
        """Start connecting; ends in ``connection_made`` (perhaps within the call) or ``dial_failed`` of the handler."""
        if self._certificates is None and (addresses := self._target.known()):
            self._dial_plain(upstream, addresses)
            return
        task = self._loop.create_task(self._dial(upstream))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def _dial_plain(self, upstream: UpstreamConnection, addresses: list[Address]) -> None:
        timer: asyncio.TimerHandle | None = None

        def connected(sock: socket.socket) -> None:
            if timer is not None:
                timer.cancel()
            SocketTransport(self._loop, sock, upstream, reads_rest=True).start()

        def failed(error: OSError) -> None:
            if timer is not None:
                timer.cancel()
            self._target.forget()
            upstream.dial_failed(_failure_word(error))

        def timed_out() -> None:
            connecting.cancel()
            failed(TimeoutError())

        connecting = Connecting(self._loop, addresses, self._bind_address, connected, failed)
        connecting.start()
        if connecting.pending:
            timer = self._loop.call_later(self._timeout_seconds, timed_out)

    async def _dial(self, upstream: UpstreamConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connected = await connect_socket(self._loop, self._target, self._bind_address)
                if self._certificates is not None:
                    await self._connect_tls(upstream, connected, self._certificates)
                    return
        except OSError as error:
            upstream.dial_failed(_failure_word(error))
        else:
            SocketTransport(self._loop, connected, upstream, reads_rest=True).start()

    async def _connect_tls(
        self, upstream: UpstreamConnection, connected: socket.socket, certificates: ClientCertificates
    ) -> None:
        handshake: asyncio.Future[None] = self._loop.create_future()
        app: Any = _TlsHandler(upstream, None, encrypted=None)
        tls: Any = _UpstreamTls(
            self._received,
            self._loop,
            app,
            certificates.context,
            handshake,
            server_side=False,
            server_hostname=certificates.hostname,
        )
        transport = SocketTransport(self._loop, connected, tls, reads_rest=True)
        transport.start()
        try:
            await handshake
        except BaseException:
            transport.abort()
            raise


def _failure_word(error: OSError) -> str:
    """The counter label of a failed connection."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "tls" if isinstance(error, ssl.SSLError) else "unreachable"


if TYPE_CHECKING:
    _transport: type[Transport] = _TlsTransport
    _transport = SocketTransport
    _handler: type[ConnectionHandler] = _TlsHandler

"""The machines on asyncio's loop: plain connections on links of ours, TLS on asyncio's own transports."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lbcompanion.endpoints.certificates import ClientCertificates, ServerCertificate
from lbcompanion.node.proxy.interface import Link, Machine
from lbcompanion.node.proxy.proxy_header import ProxyHeader
from lbcompanion.node.proxy.proxy_protocol import HeaderFirst, Openings, ToldLink
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.transports.socket_transport import SocketLink, SocketServer, connected_to
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
    make: Callable[[], Machine],
    certificate: ServerCertificate | None = None,
    openings: Openings | None = None,
    head_seconds: float = 10.0,
    shared: bool = False,
) -> asyncio.Server | SocketServer:
    """Serve an open socket; each connection gets a fresh machine.

    :param certificate: None: without TLS.
    :param openings: None: connections begin with no PROXY header.
    :param head_seconds: for a TLS handshake.
    :param shared: whether other processes serve the same socket.
    """
    factory: Any = make  # asyncio asks for its own base class, in types only
    if certificate is not None or openings is not None:
        factory = _Opener(loop, make, certificate, openings, head_seconds)
    most = _FAIR_SHARE if shared else BACKLOG
    if certificate is None:
        listening.listen(BACKLOG)
        return SocketServer(loop, listening, factory, most)
    server = await loop.create_server(factory, sock=listening, backlog=most)
    # asyncio uses one number for what it takes at once and for what may wait.
    listening.listen(BACKLOG)
    return server


class _Opener:
    """Makes what stands at the start of a connection: a header's reader, TLS, or the one and then the other.

    What balancers send comes before TLS begins, in the clear. :meth:`asyncio.loop.start_tls` would lose what came in
    the same piece as the header, so the protocol that it uses is put in place here, and fed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], Machine],
        certificate: ServerCertificate | None,
        openings: Openings | None,
        head_seconds: float,
    ) -> None:
        self._loop = loop
        self._make = make
        self._certificate = certificate
        self._openings = openings
        self._head_seconds = head_seconds

    def __call__(self) -> Any:
        if self._openings is not None:
            return HeaderFirst(self._openings, self._told)
        return self._tls(None, None)

    def _tls(self, peername: tuple[str, int] | None, encrypted: bool | None) -> _Tls:
        assert self._certificate is not None
        app: Any = _InTls(self._make(), peername, encrypted)
        app.tls = tls = _Tls(
            self._loop,
            app,
            self._certificate.context,
            None,  # type: ignore[arg-type]  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=self._head_seconds,  # type: ignore[arg-type]  # typeshed knows whole seconds only
            ssl_shutdown_timeout=_TLS_CLOSING_SECONDS,
        )
        return tls

    def _told(self, transport: Any, header: ProxyHeader, rest: bytes) -> None:
        if self._certificate is None:
            machine = self._make()
            transport.set_protocol(machine)
            machine.connection_made(ToldLink(transport, header.source, header.encrypted))
            if rest:
                machine.data_received(rest)
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


class _Tls(SSLProtocol):
    """TLS on a visitor's connection, which does not wait long for the visitor's own goodbye.

    asyncio waits for the peer's ``close_notify``; RFC 8446 section 6.1 asks for none, and who keeps a connection open
    after it has read our end would hold up a process that is to leave.
    """

    _raw: Any = None

    def connection_made(self, transport: Any) -> None:
        """The connection stands: TLS begins on it."""
        self._raw = transport
        self._made_on = asyncio.get_running_loop()
        super().connection_made(transport)

    def end_soon(self) -> None:
        """The machine has closed: close for good a moment after everything is written."""
        self._made_on.call_later(_GOODBYE_SECONDS, self._look)

    def _look(self) -> None:
        if self._raw.get_write_buffer_size() == 0:
            self._raw.abort()
        else:
            self.end_soon()


class _TlsLink(ToldLink):
    """A link over asyncio's TLS, which knows no half of a connection.

    :param tls: whose connection is to end soon after :meth:`close`; None: as asyncio does it.
    """

    def __init__(self, link: Any, peername: tuple[str, int] | None, encrypted: bool | None, tls: _Tls | None) -> None:
        super().__init__(link, peername, encrypted)
        self._close = link.close
        self._tls = tls
        self.write_eof = _nothing
        self.close = self._close_soon

    def _close_soon(self) -> None:
        self._close()
        if self._tls is not None:
            self._tls.end_soon()


def _nothing() -> None:
    """Tell nothing: who waits for our end reads it in the answer's framing, and the close follows soon."""


class _InTls:
    """A machine in front of another, within TLS. Both what it gets and what it asks for go straight on."""

    def __init__(self, machine: Machine, peername: tuple[str, int] | None, encrypted: bool | None) -> None:
        self._machine = machine
        self._told = (peername, encrypted)
        self.tls: _Tls | None = None
        self.data_received = machine.data_received
        self.connection_lost = machine.connection_lost
        self.pause_writing = machine.pause_writing
        self.resume_writing = machine.resume_writing

    def connection_made(self, transport: Any) -> None:
        """The handshake is done."""
        self._machine.connection_made(_TlsLink(transport, *self._told, self.tls))

    def eof_received(self) -> bool:
        """The peer said that it closes; TLS keeps no direction open, whatever the machine would like."""
        self._machine.eof_received()
        return False


class AsyncioDialer:
    """Makes connections to one address.

    :param where: ``("tcp", host, port)`` or ``("unix", path)``.
    :param local: the address to connect from; empty: any.
    :param certificates: None: without TLS.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        where: tuple[Any, ...],
        timeout_seconds: float,
        local: str = "",
        certificates: ClientCertificates | None = None,
    ) -> None:
        self._loop = loop
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._local = local
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
                connected = await connected_to(self._loop, self._where, self._local)
                if self._certificates is not None:
                    await self._encrypt(upstream, connected, self._certificates)
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
            SocketLink(self._loop, connected, upstream).start()

    async def _encrypt(
        self, upstream: UpstreamConnection, connected: socket.socket, certificates: ClientCertificates
    ) -> None:
        factory: Any = lambda: _InTls(upstream, None, None)  # noqa: E731
        try:
            await self._loop.create_connection(
                factory, sock=connected, ssl=certificates.context, server_hostname=certificates.hostname
            )
        except BaseException:
            connected.close()
            raise


if TYPE_CHECKING:
    _link: type[Link] = _TlsLink
    _link = SocketLink
    _machine: type[Machine] = _InTls

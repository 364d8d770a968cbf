"""Listeners for visitors and dialers to the application, on the transports that fit the reactor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from lbcompanion.endpoints.certificates import ClientCertificates, ServerCertificate
from lbcompanion.endpoints.strings import EndpointString, parse
from lbcompanion.endpoints.tls_listeners import tls_factory
from lbcompanion.node.proxy.interface import ConnectionHandler
from lbcompanion.node.proxy.proxy_protocol import PendingConnections
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.transports.asyncio_transport import AsyncioDialer, serve_socket
from lbcompanion.node.transports.socket_transport import SocketServer
from lbcompanion.node.transports.sockets import remove_path
from lbcompanion.node.transports.twisted_transport import (
    DialFactory,
    HandlerFactory,
    ProxyHeaderFactory,
    SharedUnixPort,
    TlsDialFactory,
)

_TWISTED_TIMEOUT_SECONDS = 30


class Listener:
    """An open listener.

    :ivar port: the TCP port; 0 for a unix socket.
    :ivar socket: a duplicate of the listening socket, to hand over to other processes.
    :ivar certificate: the server certificate; None without TLS.
    """

    def __init__(
        self, listening: socket.socket, close: Callable[[], Any], certificate: ServerCertificate | None = None
    ) -> None:
        name = listening.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0
        self.socket = listening.dup()
        self.certificate = certificate
        self._close = close

    def close(self, *, shared: bool = False) -> Any:
        """Stop accepting; established connections go on. May return a Deferred.

        :param shared: whether other processes go on serving the socket, so that a unix socket's file has to stay.
        """
        if not shared:
            remove_path(self.socket)
        self.socket.close()
        return self._close()


class InMemoryListener:
    """A listener of an in-memory reactor (tests)."""

    certificate: ServerCertificate | None = None

    def __init__(self, port: Any) -> None:
        self._port = port
        self.port: int = getattr(port.getHost(), "port", 0)

    def close(self, *, shared: bool = False) -> Any:
        """Stop accepting."""
        return self._port.stopListening()


AnyListener = Listener | InMemoryListener


async def serve(
    description: str,
    listening: socket.socket,
    make_handler: Callable[[], ConnectionHandler],
    pending: PendingConnections,
    reactor: Any,
    loop: asyncio.AbstractEventLoop | None,
    *,
    shared: bool = False,
) -> Listener:
    """Serve a listening socket, which the listener then owns.

    :param description: the endpoint string of the socket.
    :param pending: where connections wait for a PROXY header, if the endpoint string asks for one.
    :param loop: the reactor's asyncio loop; None uses Twisted's transports.
    :param shared: whether other processes serve the same socket.
    :raises BadCertificate: if the certificate of the endpoint string cannot be used.
    """
    endpoint = parse(description)
    certificate = ServerCertificate(endpoint) if endpoint.encrypted else None
    header_pending = pending if endpoint.proxy_protocol else None
    if loop is not None:
        serving = serve_socket(
            loop,
            listening,
            make_handler,
            certificate,
            header_pending,
            pending.context.limits.head_seconds,
            shared=shared,
        )
        server: asyncio.Server | SocketServer = await Deferred.fromFuture(asyncio.ensure_future(serving, loop=loop))
        return Listener(listening, server.close, certificate)
    factory: Factory = HandlerFactory(make_handler)
    if header_pending is not None:
        factory = ProxyHeaderFactory(make_handler, certificate, header_pending)
    elif certificate is not None:
        factory = tls_factory(factory, certificate)
    return adopt(listening, factory, reactor, certificate)


def serve_site(description: str, listening: socket.socket, site: Factory, reactor: Any) -> Listener:
    """Serve a listening socket with a Twisted factory.

    :raises BadCertificate: as :func:`serve` does.
    """
    endpoint = parse(description)
    certificate = ServerCertificate(endpoint) if endpoint.encrypted else None
    return adopt(listening, tls_factory(site, certificate) if certificate else site, reactor, certificate)


def adopt(
    listening: socket.socket, factory: Factory, reactor: Any, certificate: ServerCertificate | None = None
) -> Listener:
    """Let Twisted serve a listening socket; closes the given one, since Twisted duplicates it."""
    port: Any
    listening.setblocking(False)
    if listening.family is socket.AF_UNIX:
        port = SharedUnixPort._fromListeningDescriptor(  # type: ignore[no-untyped-call]
            reactor, listening.fileno(), factory
        )
        port.startListening()
    else:
        port = reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
    listener = Listener(listening, port.stopListening, certificate)
    listening.close()
    return listener


def certificates_of(listeners: Sequence[AnyListener]) -> list[tuple[ServerCertificate, int]]:
    """The certificates of the listeners in TLS, each with its port."""
    return [(listener.certificate, listener.port) for listener in listeners if listener.certificate is not None]


def client_endpoint(description: str, reactor: Any) -> IStreamClientEndpoint:
    """A Twisted client endpoint of the application; over TLS its certificate is verified.

    :raises BadCertificate: if a file of the endpoint string cannot be used.
    """
    endpoint = parse(description)
    if not endpoint.encrypted:
        plain: IStreamClientEndpoint = clientFromString(reactor, description)
        return plain
    inner = endpoint.options.get("endpoint")
    if inner:
        inner_endpoint: Any = clientFromString(reactor, inner)
    else:
        timeout = int(endpoint.options.get("timeout", _TWISTED_TIMEOUT_SECONDS))
        bind = endpoint.options.get("bindAddress")
        inner_endpoint = HostnameEndpoint(
            reactor, endpoint.args[0].encode("idna"), int(endpoint.args[1]), timeout, (bind, 0) if bind else None
        )
    wrapped: IStreamClientEndpoint = wrapClientTLS(ClientCertificates(endpoint).for_twisted(), inner_endpoint)
    return wrapped


def dialer(
    description: str, timeout_seconds: float, reactor: Any, loop: asyncio.AbstractEventLoop | None
) -> Callable[[UpstreamConnection], None]:
    """A function that connects a handler to the application.

    :param description: a Twisted client endpoint string.
    :raises BadCertificate: if a file of the endpoint string cannot be used.
    """
    endpoint = parse(description)
    if "timeout" in endpoint.options:
        timeout_seconds = min(timeout_seconds, float(endpoint.options["timeout"]))
    if loop is not None:
        certificates = ClientCertificates(endpoint) if endpoint.encrypted else None
        address = parse(endpoint.options["endpoint"]) if "endpoint" in endpoint.options else endpoint
        return AsyncioDialer(
            loop=loop,
            target=_dial_target(address),
            timeout_seconds=timeout_seconds,
            bind_address=endpoint.options.get("bindAddress", ""),
            certificates=certificates,
        )
    client = client_endpoint(description, reactor)

    def dial(upstream: UpstreamConnection) -> None:
        def failed(failure: Failure) -> None:
            # After connection_made an error is not a dial failure; before it, the user must be notified of any error.
            if upstream.transport is None:
                upstream.dial_failed(_failure_word(failure))

        factory = TlsDialFactory(upstream, timeout_seconds, reactor) if endpoint.encrypted else DialFactory(upstream)
        connecting = client.connect(factory)
        connecting.addTimeout(timeout_seconds, reactor)
        connecting.addErrback(failed)

    return dial


def _dial_target(endpoint: EndpointString) -> tuple[Any, ...]:
    if endpoint.kind == "unix":
        return "unix", endpoint.args[0]
    return "tcp", endpoint.args[0], int(endpoint.args[1])


def _failure_word(failure: Failure) -> str:
    if failure.check(ConnectionRefusedError):
        return "refused"
    if failure.check(TimeoutError, asyncio.TimeoutError):
        return "timeout"
    return "unreachable" if failure.check(ConnectError, OSError) else "failed"

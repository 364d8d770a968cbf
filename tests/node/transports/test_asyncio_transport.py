"""TLS on asyncio's transports: what a connection that is kept open takes of the memory."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import tracemalloc
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lbcompanion.endpoints.certificates import ServerCertificate
from lbcompanion.endpoints.strings import parse
from lbcompanion.node.transports.asyncio_transport import _TlsProtocol, _TlsTransport, serve_socket
from tests.support.pems import CertificateAuthority

pytestmark = pytest.mark.network

AUTHORITY = CertificateAuthority("visitors trust it")

_CONNECTIONS = 20
_MOST_BYTES = 24_000
_WAIT = 60.0


class _Echo:
    """A handler that sends back what it receives; ``sockets`` are those of all connections."""

    sockets: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        self.pause_writing = self.resume_writing = self.eof_received = lambda: None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.sockets.append(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, reason: Exception | None) -> None:
        self.transport = None


@pytest.fixture
def certificate(tmp_path: Path) -> ServerCertificate:
    certificate, key = AUTHORITY.write(tmp_path, "listener", "localhost")
    return ServerCertificate(parse(f"ssl:0:privateKey={key}:certKey={certificate}"))


@pytest.fixture
def context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=AUTHORITY.pem.decode())


def opened(context: ssl.SSLContext, port: int, data: bytes) -> ssl.SSLSocket:
    """A visitor's connection on which the data came back."""
    visitor = context.wrap_socket(socket.create_connection(("127.0.0.1", port), _WAIT), server_hostname="localhost")
    visitor.sendall(data)
    left = len(data)
    found = []
    while left:
        found.append(visitor.recv(left))
        left -= len(found[-1])
    assert b"".join(found) == data
    return visitor


async def serving(certificate: ServerCertificate) -> tuple[Any, int]:
    """A server that sends back what it receives, and its port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    server = await serve_socket(asyncio.get_running_loop(), listening, _Echo, certificate)
    return server, listening.getsockname()[1]


def test_an_open_connection_takes_little_memory(certificate: ServerCertificate, context: ssl.SSLContext) -> None:
    async def measure() -> int:
        server, port = await serving(certificate)
        visitors = [await asyncio.to_thread(opened, context, port, b"warm")]
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(_CONNECTIONS):
                visitors.append(await asyncio.to_thread(opened, context, port, b"x" * 10_000))
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            for visitor in visitors:
                visitor.close()
            server.close()

    assert asyncio.run(measure()) / _CONNECTIONS < _MOST_BYTES


def test_connections_that_receive_at_once_do_not_mix(certificate: ServerCertificate, context: ssl.SSLContext) -> None:
    async def exchange() -> None:
        server, port = await serving(certificate)
        try:
            sent = [bytes([number]) * 200_000 for number in range(8)]
            for visitor in await asyncio.gather(*(asyncio.to_thread(opened, context, port, data) for data in sent)):
                visitor.close()
        finally:
            server.close()

    asyncio.run(exchange())


def test_responses_do_not_wait_for_the_session_tickets(
    certificate: ServerCertificate, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Echo, "sockets", [])

    async def exchange() -> int:
        server, port = await serving(certificate)
        visitor = await asyncio.to_thread(opened, context, port, b"hello")
        try:
            return int(_Echo.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        finally:
            visitor.close()
            server.close()

    assert asyncio.run(exchange())


def test_a_closed_connection_is_freed_without_the_garbage_collector(
    certificate: ServerCertificate, context: ssl.SSLContext
) -> None:
    """OpenSSL's state of a connection takes 35 KB."""

    def tls_objects() -> int:
        return sum(isinstance(one, ssl.SSLObject | _TlsProtocol | _TlsTransport) for one in gc.get_objects())

    def visit(port: int) -> None:
        for _ in range(5):
            opened(context, port, b"x" * 1000).close()

    async def go() -> None:
        server, port = await serving(certificate)
        before = tls_objects()
        await asyncio.get_running_loop().run_in_executor(None, visit, port)
        async with asyncio.timeout(_WAIT):
            while tls_objects() > before:
                await asyncio.sleep(0.01)
        server.close()

    _Echo.sockets.clear()
    gc.collect()
    gc.disable()
    try:
        asyncio.run(go())
    finally:
        gc.enable()
        _Echo.sockets.clear()

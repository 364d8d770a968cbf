"""The crawler's listeners: over real sockets, with and without TLS."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from lbcompanion.crawler.listeners import Listeners
from lbcompanion.endpoints.certificates import BadCertificate
from tests.support.in_memory_node import new_folder
from tests.support.listener_certificates import AUTHORITY

pytestmark = pytest.mark.network


class _Shown(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"secure" if request.isSecure() else b"plain"


class ListenersTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(new_folder(self))
        self.listeners = Listeners(reactor)

    async def _close(self) -> None:
        await self.listeners.stop_listening()
        self.listeners.close_connections()

    def _ask(self, port: int, *, tls: bool) -> Deferred[tuple[bytes, bytes]]:
        def ask() -> tuple[bytes, bytes]:
            plain = socket.create_connection(("127.0.0.1", port), 60)
            context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
            with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as asking:
                asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
                received = b""
                while data := asking.recv(1000):
                    received += data
                shown = asking.getpeercert(True) if isinstance(asking, ssl.SSLSocket) else None
            return received.partition(b"\r\n\r\n")[2], shown or b""

        return deferToThread(ask)

    async def test_a_listener_without_tls(self) -> None:
        port = await self.listeners.listen("tcp:0:interface=127.0.0.1", Site(_Shown()))
        assert await self._ask(port, tls=False) == (b"plain", b"")
        self.listeners.reload()
        await self._close()

    async def test_a_certificate_is_reloaded(self) -> None:
        certificate, key = AUTHORITY.write(self.folder, "a", "127.0.0.1")
        text = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        port = await self.listeners.listen(text, Site(_Shown()))
        body, first = await self._ask(port, tls=True)
        assert body == b"secure"
        AUTHORITY.write(self.folder, "a", "127.0.0.1")
        self.listeners.reload()
        _, second = await self._ask(port, tls=True)
        assert second != first
        certificate.write_bytes(b"rubbish")
        self.listeners.reload()
        assert (await self._ask(port, tls=True))[1] == second
        await self._close()

    async def test_a_certificate_that_cannot_be_used_opens_no_listener(self) -> None:
        (self.folder / "a.pem").write_bytes(b"rubbish")
        with pytest.raises(BadCertificate, match=r"a\.pem"):
            await self.listeners.listen(f"ssl:0:privateKey={self.folder}/a.pem", Site(_Shown()))
        await self._close()

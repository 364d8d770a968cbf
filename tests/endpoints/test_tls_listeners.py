"""TLS of Twisted's listeners: each connection gets the certificate that was read last."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport

from lbcompanion.endpoints.certificates import ServerCertificate
from lbcompanion.endpoints.strings import parse
from lbcompanion.endpoints.tls_listeners import tls_factory
from tests.support.listener_certificates import AUTHORITY


class _Noted(Protocol):
    received: ClassVar[list[bytes]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)


class _Client:
    """A TLS client whose bytes go straight into a connection's handler."""

    def __init__(self, factory: Factory) -> None:
        self._transport = StringTransport()
        self._handler: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self._handler.makeConnection(self._transport)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="www.example.com")
        self._run(self.tls.do_handshake)

    def send(self, data: bytes) -> None:
        self._run(lambda: self.tls.write(data))

    def _run(self, step: Any) -> Any:
        for _ in range(10):
            is_done, result = True, None
            try:
                result = step()
            except ssl.SSLWantReadError:
                is_done = False
            if sent := self._out.read():
                self._handler.dataReceived(sent)
            if received := self._transport.value():
                self._transport.clear()
                self._in.write(received)
            if is_done:
                return result
        raise AssertionError("nothing came of it")


def test_a_new_connection_gets_the_certificate_that_was_read_last(tmp_path: Path) -> None:
    files = AUTHORITY.write(tmp_path, "a", "www.example.com")
    certificate = ServerCertificate(parse(f"ssl:443:privateKey={files[1]}:certKey={files[0]}"))
    factory = tls_factory(Factory.forProtocol(_Noted), certificate)
    first = _Client(factory)
    AUTHORITY.write(tmp_path, "a", "www.example.com")
    assert _Client(factory).tls.getpeercert(True) == first.tls.getpeercert(True)
    certificate.reload()
    second = _Client(factory)
    assert second.tls.getpeercert(True) != first.tls.getpeercert(True)
    first.send(b"abc")
    second.send(b"def")
    assert _Noted.received == [b"abc", b"def"]

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply, agent_for
from lbcompanion.web import MAX_HEAD_BYTES

pytestmark = pytest.mark.network

HOST = "www.example.com"


def certificate() -> tuple[bytes, bytes]:
    """A certificate for the host, signed by its own key; both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


class Canned(Protocol):
    """Answers each request with the factory's bytes, and keeps what was asked."""

    def dataReceived(self, data: bytes) -> None:
        self.factory.got += data  # type: ignore[union-attr]
        if b"\r\n\r\n" in self.factory.got:  # type: ignore[union-attr]
            self.transport.write(self.factory.answer)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]


class ClientTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.factory: Any = Factory.forProtocol(Canned)
        self.factory.got = b""
        self.factory.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhi"

    def listen(self, context: Any = None) -> str:
        where: Any = reactor
        port = (
            where.listenTCP(0, self.factory, interface="127.0.0.1")
            if context is None
            else where.listenSSL(0, self.factory, context, interface="127.0.0.1")
        )
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        return f"tcp:127.0.0.1:{port.getHost().port}"

    def ask(self, url: str, connect: str = "", ca_file: Path | None = None, cap: int = 100) -> Deferred[Reply]:
        client = Client(agent_for(reactor, connect, ca_file), reactor, 10)
        return Deferred.fromCoroutine(client.ask("GET", url, [("Cookie", "SRV=n1"), ("X-A", "b")], cap))

    def test_host_stays_the_origins(self) -> Deferred[None]:
        async def run() -> None:
            reply = await self.ask(f"http://{HOST}/x?y=z", self.listen())
            self.assertEqual((reply.status, reply.body), (200, b"hi"))
            self.assertEqual(reply.all("set-cookie"), ("a=1", "b=2"))
            head = self.factory.got.lower()
            self.assertTrue(head.startswith(b"get /x?y=z http/1.1\r\n"))
            self.assertIn(b"\r\nhost: www.example.com\r\n", head)
            self.assertEqual(head.count(b"\r\naccept-encoding: identity\r\n"), 1)
            self.assertEqual(head.count(b"cookie: srv=n1\r\n"), 1)

        return Deferred.fromCoroutine(run())

    def test_tls_with_an_authority_of_ones_own(self) -> Deferred[None]:
        async def run() -> None:
            public, private = certificate()
            context = ssl.PrivateCertificate.loadPEM(private + public).options()
            holder = tempfile.TemporaryDirectory()
            self.addCleanup(holder.cleanup)
            ca_file = Path(holder.name) / "ca.pem"
            ca_file.write_bytes("a comment: Prüfstelle\n".encode("latin-1") + public)
            connect = self.listen(context)
            reply = await self.ask(f"https://{HOST}/", connect, ca_file)
            self.assertEqual(reply.body, b"hi")
            for url, file in ((f"https://{HOST}/", None), ("https://other.example/", ca_file)):
                with self.assertRaises(FetchFailed) as caught:
                    await self.ask(url, connect, file)
                self.assertEqual(caught.exception.word, "tls")

        return Deferred.fromCoroutine(run())

    def test_failures_have_words(self) -> Deferred[None]:
        async def run() -> None:
            connect = self.listen()
            for answer, word in (
                (b"", "broken"),
                (b"nonsense\r\n\r\n", "bad head"),
                (b"HTTP/1.1 200 OK\r\nLbc-Page-Url: " + b"x" * 17000 + b"\r\n\r\nhi", "bad head"),
                (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (MAX_HEAD_BYTES // 5) + b"\r\nhi", "bad head"),
                (b"HTTP/1.1 200 OK\r\nA: b\r\n" + b" folded\r\n" * (MAX_HEAD_BYTES // 8) + b"\r\nhi", "bad head"),
                (b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD_BYTES // 20), "bad head"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "cut"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\nhi", "too large"),
                (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, "too large"),
                (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", "coded"),
            ):
                self.factory.got, self.factory.answer = b"", answer
                with self.assertRaises(FetchFailed) as caught:
                    await self.ask(f"http://{HOST}/", connect)
                self.assertEqual(caught.exception.word, word, answer)
            with self.assertRaises(FetchFailed) as caught:
                await self.ask("http://127.0.0.1:9/")
            self.assertEqual(caught.exception.word, "refused")

        return Deferred.fromCoroutine(run())

    def test_the_limit_of_a_head_can_be_set(self) -> Deferred[None]:
        async def run() -> None:
            connect = self.listen()
            lines = b"A: b\r\n" * (2 * MAX_HEAD_BYTES // 6)
            self.factory.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\nhi"
            for limit, expected in ((4 * MAX_HEAD_BYTES, b"hi"), (MAX_HEAD_BYTES // 8, b"")):
                self.factory.got = b""
                client = Client(agent_for(reactor, connect, max_head_bytes=limit), reactor, 10)
                if not expected:
                    with self.assertRaises(FetchFailed) as caught:
                        await client.ask("GET", f"http://{HOST}/", [], 100)
                    self.assertEqual(caught.exception.word, "bad head")
                else:
                    reply = await client.ask("GET", f"http://{HOST}/", [], 100)
                    self.assertEqual(reply.body, expected)

        return Deferred.fromCoroutine(run())

    def test_a_long_body_is_not_part_of_the_head(self) -> Deferred[None]:
        async def run() -> None:
            body = b"x" * (4 * MAX_HEAD_BYTES)
            self.factory.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            reply = await self.ask(f"http://{HOST}/", self.listen(), cap=len(body))
            self.assertEqual(reply.body, body)

        return Deferred.fromCoroutine(run())

    def test_redirects_are_not_followed(self) -> Deferred[None]:
        async def run() -> None:
            self.factory.answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
            self.assertEqual((await self.ask(f"http://{HOST}/", self.listen())).status, 302)

        return Deferred.fromCoroutine(run())

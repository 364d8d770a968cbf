"""A response that the application sends before it closes during an upload reaches the visitor: over TLS, and on
Twisted's transports, too."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.node_process import TWISTED_TRANSPORTS, running_node
from tests.support.pems import CertificateAuthority
from tests.support.raw_visitor import RawVisitor
from tests.support.refusing_application import refusing_application

pytestmark = [pytest.mark.slow, pytest.mark.network]

_UPLOADS = 8
_BODY = bytes(3_000_000)


def _context(folder: Path) -> ssl.SSLContext:
    authority = CertificateAuthority("the application's")
    (folder / "roots.pem").write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.write(folder, "app", "127.0.0.1"))
    return context


def _upload(port: int, head: bytes) -> tuple[int, bytes]:
    visitor = RawVisitor(port)
    visitor.send(head + _BODY)
    answer = visitor.answer(b"POST")
    visitor.close()
    return (answer.status, answer.body) if answer is not None else (0, b"")


@pytest.mark.parametrize("start_mode", ["command", TWISTED_TRANSPORTS])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_an_early_refusal_of_an_upload_is_not_lost(tmp_path: Path, kind: str, start_mode: str) -> None:
    with refusing_application(_context(tmp_path) if kind == "tls" else None) as port:
        more = ":trustRoots=roots.pem" if kind == "tls" else ""
        with running_node(tmp_path, f"{kind}:127.0.0.1:{port}{more}", start_mode=start_mode) as node:
            head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
            answers = [_upload(node.port, head) for _ in range(_UPLOADS)]
    assert answers == [(413, b"much")] * _UPLOADS

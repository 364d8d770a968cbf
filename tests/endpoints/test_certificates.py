"""Certificates of endpoint strings: what can be used, what is refused, and that reading anew never makes it worse."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from lbcompanion.config.tables import NODE
from lbcompanion.endpoints.certificates import BadCertificate, ClientCertificates, ServerCertificate
from lbcompanion.endpoints.strings import parse
from lbcompanion.errors import InvalidValue
from tests.support.pems import CertificateAuthority


def server(certificate: Path, key: Path, more: str = "") -> ServerCertificate:
    return ServerCertificate(parse(f"ssl:443:privateKey={key}:certKey={certificate}{more}"))


def handshake(context: ssl.SSLContext, roots: bytes, name: str = "www.example.com") -> tuple[bytes, str | None]:
    """The certificate and the protocol that a client with these roots gets."""
    asking = ssl.create_default_context(cadata=roots.decode())
    asking.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    serving = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for end in (client, serving):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = client.getpeercert(True)
    assert seen is not None
    return seen, client.selected_alpn_protocol()


def twisted_handshake(context: SSL.Context, roots: bytes, folder: Path) -> bytes | None:
    (folder / "roots.pem").write_bytes(roots)
    asking = SSL.Context(SSL.TLS_CLIENT_METHOD)
    asking.load_verify_locations(str(folder / "roots.pem"))
    asking.set_verify(SSL.VERIFY_PEER)
    asking.set_alpn_protos([b"h2", b"http/1.1"])
    client, serving = SSL.Connection(asking), SSL.Connection(context)
    client.set_connect_state()
    serving.set_accept_state()
    for _ in range(5):
        for end, other in ((client, serving), (serving, client)):
            with suppress(SSL.WantReadError):
                end.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(65536))
    return client.get_alpn_proto_negotiated()


def test_a_certificate_is_shown_and_http_1_1_chosen(tmp_path: Path) -> None:
    authority = CertificateAuthority("root")
    shown = server(*authority.write(tmp_path, "a", "www.example.com"))
    assert handshake(shown.context, authority.pem)[1] == "http/1.1"
    assert twisted_handshake(shown.twisted_context, authority.pem, tmp_path) == b"http/1.1"


@pytest.mark.slow
def test_a_chain_is_sent_along(tmp_path: Path) -> None:
    root = CertificateAuthority("root")
    middle = CertificateAuthority("middle", root)
    files = middle.write(tmp_path, "a", "www.example.com")
    (tmp_path / "chain.pem").write_bytes(middle.pem)
    shown = server(*files, f":extraCertChain={tmp_path / 'chain.pem'}")
    assert handshake(shown.context, root.pem)[1] == "http/1.1"
    assert twisted_handshake(shown.twisted_context, root.pem, tmp_path) == b"http/1.1"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server(*files).context, root.pem)


@pytest.mark.slow
def test_reading_again_takes_the_new_one(tmp_path: Path) -> None:
    authority = CertificateAuthority("root")
    shown = server(*authority.write(tmp_path, "a", "www.example.com"))
    before = handshake(shown.context, authority.pem)[0]
    authority.write(tmp_path, "a", "www.example.com")
    shown.reload()
    assert handshake(shown.context, authority.pem)[0] != before


@pytest.mark.parametrize("breakage", ["gone", "empty", "half", "other key", "key for certificate"])
def test_a_broken_new_one_leaves_the_old(tmp_path: Path, breakage: str) -> None:
    authority = CertificateAuthority("root")
    certificate, key = authority.write(tmp_path, "a", "www.example.com")
    shown = server(certificate, key)
    before = handshake(shown.context, authority.pem)[0]
    if breakage == "gone":
        certificate.unlink()
    elif breakage == "empty":
        key.write_bytes(b"")
    elif breakage == "half":
        certificate.write_bytes(certificate.read_bytes()[:200])
    elif breakage == "other key":
        key.write_bytes(authority.write(tmp_path, "b", "www.example.com")[1].read_bytes())
    else:
        certificate.write_bytes(key.read_bytes())
    with pytest.raises(BadCertificate) as refused:
        shown.reload()
    assert str(tmp_path) in str(refused.value)
    assert "BEGIN" not in str(refused.value)
    assert handshake(shown.context, authority.pem)[0] == before


@pytest.mark.slow
def test_authorities_are_a_file_or_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.pem").write_bytes(b"a comment\n" + CertificateAuthority(name).pem)
    assert len(ClientCertificates(parse(f"tls:app:443:trustRoots={folder}")).authorities or ()) == 2
    one = ClientCertificates(parse(f"ssl:10.0.0.1:443:hostname=app:caCertsDir={folder / 'one.pem'}"))
    assert len(one.authorities or ()) == 1
    assert one.hostname == "app"
    assert one.context.check_hostname
    assert one.context.verify_mode is ssl.CERT_REQUIRED
    system = ClientCertificates(parse("tls:app:443"))
    assert system.authorities is None
    assert system.context.verify_mode is ssl.CERT_REQUIRED
    empty = tmp_path / "empty"
    empty.mkdir()
    for bad in (empty, tmp_path / "none.pem"):
        with pytest.raises(BadCertificate, match=str(bad)):
            ClientCertificates(parse(f"tls:app:443:trustRoots={bad}"))


def test_the_configuration_refuses_what_cannot_be_used(tmp_path: Path) -> None:
    authority = CertificateAuthority("root")
    authority.write(tmp_path, "a", "www.example.com")
    authority.write(tmp_path, "b", "www.example.com")
    listen = NODE["node"]["listen"]
    (found,) = listen(["haproxy:ssl:443:privateKey=a.key:certKey=a.pem"], tmp_path)
    assert found == f"haproxy:ssl:443:privateKey={tmp_path}/a.key:certKey={tmp_path}/a.pem"
    for bad in ("privateKey=b.key:certKey=a.pem", "privateKey=c.key", "privateKey=a.key"):
        with pytest.raises(InvalidValue, match="certificate in PEM"):
            listen([f"ssl:443:{bad}"], tmp_path)
    with pytest.raises(InvalidValue, match="authorities in PEM"):
        NODE["node"]["upstream"]("tls:app:443:trustRoots=a.key", tmp_path)

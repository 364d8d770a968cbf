"""The authorization of fetches."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_network

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbcompanion.protocol.signatures import Signer
from lbcompanion.settings import FetchTable
from tests.support.in_memory_node import HOST, PAGE, InMemoryNode, VisitorResponse
from tests.support.own_answers import refused, with_page


def test_who_is_not_known_learns_nothing() -> None:
    companion, token = with_page()
    path = f"/_lbc/page/{token}"
    signed = companion.signed("GET", path)
    refused(companion, companion.get(path.encode()))
    refused(companion, companion.get(b"/_lbc/page/nonsense"))
    refused(companion, companion.get(path.encode() + b"x", *signed))
    refused(companion, companion.get(path.encode(), *signed, method=b"DELETE"))
    refused(companion, companion.get(path.encode(), *(line.replace(b"nonce-1", b"nonce-2") for line in signed)))
    refused(companion, companion.get(path.encode(), *signed[:-1]))
    for away in (301, -302):
        old = companion.signer.sign("GET", f"http://{HOST.decode()}{path}", "n", companion.now() - away)
        refused(companion, companion.get(path.encode(), *(f"{key}: {value}".encode() for key, value in old)))
    assert not any(token in line for line in companion.logged)
    assert companion.fetch(token).status == 200


def test_a_foreign_crawler_is_let_in_by_its_key() -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    companion, token = with_page(fetch=FetchTable(public_keys={"them": pem}))
    path = f"/_lbc/page/{token}"
    parameters = (
        f'("@method" "@authority" "@path" "lbc-nonce");created={int(companion.now())};keyid="them";alg="ed25519"'
    )
    base = (
        f'"@method": GET\n"@authority": {HOST.decode()}\n"@path": {path}\n"lbc-nonce": n\n'
        f'"@signature-params": {parameters}'
    )
    signature = b64encode(key.sign(base.encode())).decode()
    fields = [b"Lbc-Nonce: n", f"Signature-Input: lbc={parameters}".encode(), f"Signature: lbc=:{signature}:".encode()]
    assert companion.get(path.encode(), *fields).body == PAGE


@pytest.mark.parametrize(
    ("header", "trusted", "fields", "peer", "allowed"),
    [
        ("", (), (), "10.0.0.1", True),
        ("", (), (), "::ffff:10.0.0.1", True),
        ("", (), (), "10.1.0.1", False),
        ("", (), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", False),
        ("X-Forwarded-For", (), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", False),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", True),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1, 10.1.0.9",), "10.1.0.1", True),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1, 9.9.9.9",), "10.1.0.1", False),
        (
            "X-Forwarded-For",
            ("10.1.0.0/16",),
            (b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-For: 9.9.9.9"),
            "10.1.0.1",
            False,
        ),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: nonsense",), "10.1.0.1", False),
        ("X-Forwarded-For", ("10.1.0.0/16",), (), "10.1.0.1", False),
    ],
)
@pytest.mark.parametrize("signature", ["required", "off"])
def test_addresses(
    header: str, trusted: tuple[str, ...], fields: tuple[bytes, ...], peer: str, allowed: bool, signature: str
) -> None:
    companion = InMemoryNode(
        node={"trusted_proxies": tuple(map(ip_network, trusted))},
        fetch=FetchTable(addresses=(ip_network("10.0.0.0/24"),), address_header=header, signature=signature),
    )
    path = f"/_lbc/page/{companion.tokens.mint()}"
    signed = companion.signed("GET", path) if signature == "required" else []
    answer = companion.get(path.encode(), *signed, *fields, peer=(peer, 1))
    assert answer.status == (404 if allowed else 403)
    if signature == "required" and allowed:
        assert companion.get(path.encode(), *fields, peer=(peer, 1)).status == 403


PROXY = (ip_network("192.0.2.0/24"),)


def fetched_behind(
    companion: InMemoryNode, token: str, host: bytes, *fields: bytes, sends_authority: bool = True
) -> VisitorResponse:
    """The answer to a fetch through a balancer that sets these fields."""
    path = f"/_lbc/page/{token}"
    signed = companion.signed("GET", path)
    authority = [b"Lbc-Authority: " + HOST] if sends_authority else []
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: " + host, *fields, *signed, *authority, b"Connection: close"]
    (answer,) = companion.ask(b"\r\n".join([*lines, b"", b""]))
    return answer


@pytest.mark.parametrize("host", [b"nodes", b"backend_pool", b"127.0.0.1:8080", b"[::1]:8080"])
@pytest.mark.parametrize(
    ("node", "fields", "sends_authority", "status"),
    [
        # Stock nginx: proxy_pass http://nodes, and nothing else.
        ({}, (), True, 200),
        ({"public_origin": f"https://{HOST.decode()}"}, (), False, 200),
        ({"public_origin": f"http://{HOST.decode()}:80"}, (), False, 200),
        ({"public_origin": f"https://{HOST.decode().upper()}"}, (), True, 200),
        # Stock Apache: ProxyPreserveHost is off.
        ({}, (b"X-Forwarded-Host: " + HOST,), False, 200),
        ({}, (b"X-Forwarded-Host: " + HOST.upper() + b":443",), False, 200),
        ({}, (b"X-Forwarded-Host: " + HOST + b", inner.example",), False, 200),
        ({}, (b"X-Forwarded-Host: " + HOST, b"X-Forwarded-Port: 8080"), False, 200),
        ({}, (b"Forwarded: for=192.0.2.9;host=" + HOST,), False, 200),
        # Nothing names the host that was signed.
        ({}, (), False, 403),
        ({}, (b"X-Forwarded-Host: other.example",), False, 403),
        ({"trusted_proxies": ()}, (b"X-Forwarded-Host: " + HOST,), False, 403),
        ({"public_origin": "https://other.example"}, (), False, 403),
        # The node knows its own host: a request for another one is refused.
        ({"public_origin": "https://other.example"}, (), True, 403),
    ],
)
def test_a_balancer_that_replaces_host(
    host: bytes, node: dict[str, object], fields: tuple[bytes, ...], sends_authority: bool, status: int
) -> None:
    companion, token = with_page(node={"trusted_proxies": PROXY, **node})
    assert fetched_behind(companion, token, host, *fields, sends_authority=sends_authority).status == status
    if status == 403:
        (line,) = [line for line in companion.logged if line.startswith("fetch refused")]
        assert host.decode() in line
        assert "Host" in line


@pytest.mark.parametrize(
    ("node", "page_host", "fetch_host", "fields", "url"),
    [
        # The balancer replaces Host in both requests.
        ({}, b"nodes", b"nodes", (), "http://www.example.com/shop"),
        ({}, b"NODES:80", b"nodes", (), "http://www.example.com/shop"),
        # Two ways lead to the node; which host the visitor used is not known.
        ({}, b"other.example", b"nodes", (), "http://other.example/shop"),
        ({}, b"nodes", b"www.example.com", (), "http://nodes/shop"),
        ({}, b"nodes", b"nodes", (b"X-Forwarded-Host: www.example.com",), "http://nodes/shop"),
        ({"public_origin": "https://www.example.com"}, b"nodes", b"nodes", (), "https://www.example.com/shop"),
    ],
)
def test_the_page_is_named_by_the_host_that_the_crawler_signed(
    node: dict[str, object], page_host: bytes, fetch_host: bytes, fields: tuple[bytes, ...], url: str
) -> None:
    companion = InMemoryNode(node={"trusted_proxies": PROXY, **node})
    companion.ask(b"GET /shop HTTP/1.1\r\nHost: " + page_host + b"\r\nConnection: close\r\n\r\n")
    answer = fetched_behind(companion, companion.page.token, fetch_host, *fields)
    assert (answer.status, answer.all(b"lbc-page-url")) == (200, [url.encode()])


def test_a_wrong_secret_is_refused_whatever_host_was_signed() -> None:
    companion, token = with_page()
    companion.signer = Signer(b"another secret")
    assert fetched_behind(companion, token, b"nodes").status == 403
    assert "another farm secret" in companion.logged[-1]


def test_the_authority_of_a_debug_request_has_to_be_known() -> None:
    companion, _ = with_page()
    fields = [*companion.signed("GET", "/_lbc/debug"), b"Lbc-Authority: " + HOST]
    head = b"\r\n".join([b"GET /_lbc/debug HTTP/1.1", b"Host: nodes", *fields, b"Connection: close", b"", b""])
    (answer,) = companion.ask(head)
    assert answer.status == 403
    assert f"for the host {HOST.decode()}, but the request is for nodes" in companion.logged[-1]

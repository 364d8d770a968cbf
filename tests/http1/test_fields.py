"""Hop-by-hop fields, and whether a connection persists."""

from __future__ import annotations

import pytest

from lbcompanion.http1.field_lines import HOP_BY_HOP
from lbcompanion.http1.fields import end_to_end, keeps_alive, list_members, offers, upgrade_protocols
from lbcompanion.http1.heads import RequestHead, ResponseHead, read_request_head, read_response_head


def head(*lines: bytes, version: bytes = b"1.1") -> RequestHead:
    return read_request_head(b"\r\n".join([b"GET / HTTP/" + version, b"Host: a", *lines, b"", b""]))


def test_lists_over_several_lines() -> None:
    assert list_members([b"A, b ,,\tC", b"", b"d"]) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: Keep-Alive, CLOSE",), False),
        (b"1.1", (b"Connection: x", b"Connection: close"), False),
        (b"1.1", (b"Connection: closed",), True),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: keep-alive, close",), False),
    ],
)
def test_keep_alive(version: bytes, lines: tuple[bytes, ...], kept: bool) -> None:
    assert keeps_alive(head(*lines, version=version)) is kept


def test_hop_by_hop_fields_end_here() -> None:
    read = head(
        *(b"Connection: keep-alive, X-Mine", b"Connection: x-other", b"Keep-Alive: timeout=5", b"TE: trailers"),
        *(b"Proxy-Connection: keep-alive", b"Proxy-Authorization: Basic x", b"Upgrade: h2c", b"X-Mine: 1"),
        *(b"x-OTHER: 2", b"X-Third: 3", b"Transfer-Encoding: chunked"),
    )
    assert end_to_end(read) == b"Host: a\r\nX-Third: 3\r\n"
    assert end_to_end(read, (b"x-third",)) == b"Host: a\r\n"


@pytest.mark.parametrize("response", [False, True])
@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_each_hop_by_hop_field_ends_here(name: bytes, response: bool) -> None:
    fields = [(name, b"x"), (b"x-other", b"1")]
    read = (
        ResponseHead.from_fields(11, 200, b"", fields)
        if response
        else RequestHead.from_fields(b"GET", b"/", 11, fields)
    )
    assert end_to_end(read) == b"x-other: 1\r\n"


_IDENTITY = """
Host Cookie Authorization Cache-Control Content-Type Origin Referer Range If-None-Match Sec-Fetch-Site Via Forwarded
X-Real-IP X-Client-IP X-Cluster-Client-IP True-Client-IP CF-Connecting-IP Fastly-Client-IP Fly-Client-IP Client-IP
X-Original-URL X-Rewrite-URL X-Original-Forwarded-For X-Forwarded X-Forwarded-Port X-Forwarded-Prefix
X-SSL-Client-Verify X-SSL-Client-S-DN SSL_CLIENT_CERT X-Client-Cert Client-Cert Client-Cert-Chain X-ARR-ClientCert
X-Remote-User REMOTE_USER X-WEBAUTH-USER X-Auth-Request-Email X-Authenticated-Userid X-Consumer-Username X-User-Id
X-Amzn-Oidc-Identity X-Amzn-Trace-Id X-Goog-IAP-JWT-Assertion Cf-Access-Jwt-Assertion X-MS-Client-Principal X-Token
X-Proxy-Secret X-Csrf-Token X-Request-Id Traceparent Front-End-Https X-Url-Scheme X-Account X-Tenant X-Groups X-Role
Lbc-Hops Lbc-Capture X_REAL_IP
"""


@pytest.mark.parametrize("name", [name.encode() for name in _IDENTITY.split()])
def test_nobody_takes_away_what_the_application_judges_by(name: bytes) -> None:
    read = RequestHead.from_fields(b"GET", b"/", 11, [(b"Connection", name), (name, b"a")])
    assert end_to_end(read) == name + b": a\r\n"


def test_upgrades() -> None:
    assert upgrade_protocols(head(b"Connection: keep-alive, Upgrade", b"Upgrade: websocket")) == b"websocket"
    assert upgrade_protocols(head(b"Upgrade: websocket")) is None
    assert upgrade_protocols(head(b"Connection: upgrade")) is None
    assert upgrade_protocols(head(b"Connection: upgrade", b"Upgrade: x", version=b"1.0")) is None
    assert upgrade_protocols(head(b"Connection: upgrade", b"Upgrade: h2c")) is None
    for bypassing in (b"H2C", b"h2c-14", b"h2", b"HTTP/2.0", b"TLS/1.0", b"tls/1.2, HTTP/1.1"):
        assert upgrade_protocols(head(b"Connection: upgrade", b"Upgrade: " + bypassing)) is None
    listed = upgrade_protocols(head(b"Connection: upgrade", b"Upgrade: h2c, Websocket", b"Upgrade: x/1,h2c/1"))
    assert listed == b"Websocket, x/1"
    assert offers(listed, b"websocket")
    assert not offers(listed, b"h2c")
    raw = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    assert upgrade_protocols(read_response_head(raw)) == b"x"

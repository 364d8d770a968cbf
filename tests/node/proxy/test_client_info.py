"""Who the visitor is, and what the application is told of it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.support.in_memory_node import HOST, InMemoryNode

PROXY = (ip_network("192.0.2.0/24"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("trusted", "fields", "told"),
    [
        (False, (), (b"192.0.2.7", b"http", HOST)),
        (
            False,
            (b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil.example"),
            (b"10.0.0.1, 192.0.2.7", b"http", HOST),
        ),
        (
            True,
            (
                b"X-Forwarded-For: 10.0.0.1",
                b"X-Forwarded-For: 10.0.0.2",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: h",
            ),
            (b"10.0.0.1, 10.0.0.2, 192.0.2.7", b"https", b"h"),
        ),
        (True, (), (b"192.0.2.7", b"http", HOST)),
    ],
)
def test_forwarded_fields(trusted: bool, fields: tuple[bytes, ...], told: tuple[bytes, bytes, bytes]) -> None:
    companion = InMemoryNode(node={"trusted_proxies": PROXY if trusted else ()})
    companion.get(b"/", *fields)
    (seen,) = companion.application.received_requests
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    assert [seen.all(name) for name in names] == [[value] for value in told]
    assert seen.all(b"host") == [HOST]


@pytest.mark.parametrize(("peer", "told"), [(("::1", 1, 0, 0), b"::1"), (("::ffff:192.0.2.9", 1), b"192.0.2.9")])
def test_peers_of_the_newer_protocol(peer: object, told: bytes) -> None:
    companion = InMemoryNode()
    companion.get(peer=peer)
    assert companion.application.received_requests[0].all(b"x-forwarded-for") == [told]


def test_a_peer_on_a_unix_socket_has_no_address_and_is_trusted() -> None:
    companion = InMemoryNode()
    companion.get(b"/", b"X-Forwarded-Proto: https", peer="")
    assert companion.application.received_requests[0].all(b"x-forwarded-for") == []
    assert companion.application.received_requests[0].all(b"x-forwarded-proto") == [b"https"]

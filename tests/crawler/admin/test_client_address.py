from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.web.http_headers import Headers

from lbcompanion.crawler.admin.client_address import Peer, peer_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def asked(client: Any, secure: bool = False, **fields: list[str]) -> Mock:
    headers = Headers({name.replace("_", "-"): values for name, values in fields.items()})
    return Mock(client=client, requestHeaders=headers, isSecure=lambda: secure)


def tcp(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 1)


def test_a_client() -> None:
    given = asked(tcp("192.0.2.1"), True, x_forwarded_for=["1.1.1.1"], x_forwarded_proto=["http"])
    assert peer_of(given, PROXIES) == Peer("192.0.2.1", False, "192.0.2.1", True)


@pytest.mark.parametrize(
    ("fields", "client", "is_https"),
    [
        ({}, "10.0.0.1", False),
        ({"x_forwarded_for": ["192.0.2.1"], "x_forwarded_proto": ["https"]}, "192.0.2.1", True),
        ({"x_forwarded_for": ["1.1.1.1, 192.0.2.1 , 10.0.0.2"]}, "192.0.2.1", False),
        ({"x_forwarded_for": ["1.1.1.1", "192.0.2.1"], "x_forwarded_proto": ["HTTPS, http"]}, "192.0.2.1", True),
        ({"x_forwarded_for": ["1.1.1.1, <script>"]}, "10.0.0.1", False),
        ({"x_forwarded_for": ["10.0.0.3, 10.0.0.2"]}, "10.0.0.1", False),
        ({"x_forwarded_for": [", ".join(["1.1.1.1"] * 50 + ["192.0.2.1"])]}, "192.0.2.1", False),
    ],
)
def test_behind_a_proxy(fields: dict[str, list[str]], client: str, is_https: bool) -> None:
    assert peer_of(asked(tcp("10.0.0.1"), **fields), PROXIES) == Peer("10.0.0.1", True, client, is_https)


def test_forms_of_addresses() -> None:
    for host, is_proxy in (("::ffff:10.0.0.1", True), ("2001:db8::1", True), ("::1", False), ("fe80::1%eth0", False)):
        assert peer_of(asked(IPv6Address("TCP", host, 1)), PROXIES).is_proxy is is_proxy, host
    assert peer_of(asked(UNIXAddress(None)), ()) == Peer("", True, "", False)
    assert peer_of(asked(UNIXAddress(None), x_forwarded_for=["192.0.2.1"]), ()).client == "192.0.2.1"

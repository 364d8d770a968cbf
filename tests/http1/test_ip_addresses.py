from __future__ import annotations

from ipaddress import ip_address

import pytest

from lbcompanion.http1.ip_addresses import unmapped


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::ffff:0.0.0.0", "0.0.0.0"),
        ("2001:db8::1", "2001:db8::1"),
        ("::192.0.2.1", "::c000:201"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
        ("::", "::"),
    ],
)
def test_a_mapped_address_is_the_ipv4_address(text: str, plain: str) -> None:
    assert str(unmapped(ip_address(text))) == plain

"""PROXY protocol headers of version 2, as balancers send them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from lbcompanion.node.proxy.proxy_header import SIGNATURE


def v2(family: int, body: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


def vector(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack("!H", len(value)) + value


FOUR = ip_address("203.0.113.9").packed + ip_address("192.0.2.1").packed + struct.pack("!HH", 4711, 443)
SIX = ip_address("2001:db8::9").packed + ip_address("2001:db8::1").packed + struct.pack("!HH", 4711, 443)
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")
TLS = vector(0x20, b"\x01\0\0\0\0" + vector(0x21, b"TLSv1.3"))
NO_TLS = vector(0x20, b"\x00\0\0\0\0")

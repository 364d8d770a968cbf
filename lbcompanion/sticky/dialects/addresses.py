"""Addresses of nodes, as configuration and cookies write them: ``10.0.0.11:8080``, ``[2001:db8::11]:8080``."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

_WRITTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})", re.ASCII)


@frozen
class Address:
    """The address on which a node listens.

    :ivar port: 1 to 65535.
    """

    host: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        """As ``ip:port``, with brackets around IPv6, in its shortest form."""
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address | None:
    """Parse ``ip:port``; None for any other text, including host names."""
    found = _WRITTEN.fullmatch(text)
    if not found or not 0 < int(found[3]) < 65536:
        return None
    try:
        return Address(ip_address(found[1] or found[2]), int(found[3]))
    except ValueError:
        return None

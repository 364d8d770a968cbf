"""F5 BIG-IP, cookie insert, rewrite and passive: ``BIGipServerPOOL``, the node's address and port in one of four forms.

IPv4 is written as decimal numbers in little-endian order; route domains and IPv6 have other forms. The route domain
follows the address in the appliance's notation: ``10.0.0.11%5:8080``. Not verified: the effect of a replay while its
node is away.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal

_V4 = re.compile(r"([0-9]{1,10})\.([0-9]{1,5})\.0000", re.ASCII)
_V6 = re.compile(r"vi([0-9a-f]{32})\.([0-9]{1,5})", re.ASCII)
_DOMAIN = re.compile(r"rd([0-9]{1,5})o([0-9a-f]{32})o([0-9]{1,5})", re.ASCII)
_MAPPED = "00000000000000000000ffff"
_WITH_DOMAIN = re.compile(r"(\[?[0-9A-Fa-f:.]+)%([0-9]{1,5})(\]?:[0-9]{1,5})", re.ASCII)
_SOURCE = "my.f5.com, K6917"


def _swapped(port: int) -> int:
    return (port & 255) << 8 | port >> 8


def _text(host: int, version: int, port: int, domain: str = "") -> str | None:
    """An address as a text; None where it cannot be one."""
    if not 0 < port < 65536 or host >= 1 << (32 if version == 4 else 128):
        return None
    mark = f"%{domain}" if domain else ""
    return f"{IPv4Address(host)}{mark}:{port}" if version == 4 else f"[{IPv6Address(host)}{mark}]:{port}"


def decoded(value: str) -> str | None:
    """The address in a cookie, or None."""
    if found := _V4.fullmatch(value):
        address, port = int(found[1]), int(found[2])
        if address >= 1 << 32 or port >= 1 << 16:
            return None
        return _text(int.from_bytes(address.to_bytes(4, "little"), "big"), 4, _swapped(port))
    if found := _V6.fullmatch(value):
        port = int(found[2])
        return _text(int(found[1], 16), 6, _swapped(port)) if port < 1 << 16 else None
    if found := _DOMAIN.fullmatch(value):
        mapped = found[2].startswith(_MAPPED)
        host = int(found[2].removeprefix(_MAPPED) if mapped else found[2], 16)
        return _text(host, 4 if mapped else 6, int(found[3]), found[1])
    return None


def encoded(text: str) -> str | None:
    """The value for an address; None if the text is not an address."""
    marked = _WITH_DOMAIN.fullmatch(text)
    address = parse_address(marked[1] + marked[3] if marked else text)
    if address is None or (marked and text.startswith("[") != (address.host.version == 6)):
        return None
    packed, port = address.host.packed, address.port
    if marked:
        mapped = _MAPPED if address.host.version == 4 else ""
        return f"rd{int(marked[2])}o{mapped}{packed.hex()}o{port}"
    if address.host.version == 4:
        return f"{int.from_bytes(packed, 'little')}.{_swapped(port)}.0000"
    return f"vi{packed.hex()}.{_swapped(port)}"


@frozen(kw_only=True)
class BigIp(Shape):
    """The node's address, not encrypted."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The value as it is, where it is an address."""
        return value if decoded(value) is not None else None

    def recognises(self, name: str, value: str) -> bool:
        """Recognised by the value alone, because no other product writes this form."""
        return self.reduce(name, value, False) is not None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """``ip:port``, with the route domain where there is one."""
        return decoded(cookie.value)

    def write(self, node: NodeFacts) -> str | None:
        """For an ``ip:port``, with or without a route domain."""
        return encoded(node.address)


DIALECT = BigIp(
    name="bigip",
    moves_visitor=True,
    cookie_names=("/^BIGipServer.+$/",),
    signal=Signal.COMPARED,
    samples=(
        Sample(
            "BIGipServerweb=184549386.36895.0000",
            (("BIGipServerweb", "184549386.36895.0000"),),
            "10.0.0.11:8080",
            _SOURCE,
        ),
        Sample(
            "BIGipServer~Common~web=rd5o00000000000000000000ffff0a00000bo8080",
            (("BIGipServer~Common~web", "rd5o00000000000000000000ffff0a00000bo8080"),),
            "10.0.0.11%5:8080",
            f"in a route domain: {_SOURCE}",
        ),
        Sample(
            "BIGipServerweb=vi20010db8000000000000000000000011.36895",
            (("BIGipServerweb", "vi20010db8000000000000000000000011.36895"),),
            "[2001:db8::11]:8080",
            f"IPv6: {_SOURCE}",
        ),
        Sample(
            "BIGipServerweb=rd5o20010db8000000000000000000000011o8080",
            (("BIGipServerweb", "rd5o20010db8000000000000000000000011o8080"),),
            "[2001:db8::11%5]:8080",
            f"IPv6 in a route domain: {_SOURCE}",
        ),
        Sample("BIGipServerweb=4294967296.1.0000", (), None, "no address"),
    ),
)

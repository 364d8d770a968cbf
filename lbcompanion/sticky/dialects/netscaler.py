"""NetScaler (Citrix ADC), COOKIEINSERT: ``NSC_...``, the node's address and port under a fixed mask.

The name is the virtual server's, with each letter replaced by the next one. With encryption the value is opaque, and
this dialect does not read it. ``NSC_AAAC`` and similar names are the appliance's own sessions. Taken from published
samples. Not verified: the effect of a replay while its node is away.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal

_MASKED = re.compile(r"ffffffff([0-9a-f]{8})(45525d5f4f58455e445a4a42)?([0-9a-f]{4})", re.ASCII)
_ADDRESS_MASK, _PORT_MASK = 0x03081E11, 0x3630
_SOURCE = "docs.netscaler.com, HTTP cookie persistence; the mask from published samples"


@frozen(kw_only=True)
class NetScaler(Shape):
    """The node's address, not encrypted."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The value as it is, where it is an address."""
        return value if self.node_of(RoutingCookie(name, value)) is not None else None

    def recognises(self, name: str, value: str) -> bool:
        """Recognised by the value alone, because no other product writes this form."""
        return self.reduce(name, value, False) is not None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """``ip:port``."""
        found = _MASKED.fullmatch(cookie.value)
        port = int(found[3], 16) ^ _PORT_MASK if found else 0
        return f"{IPv4Address(int(found[1], 16) ^ _ADDRESS_MASK)}:{port}" if found and port else None

    def write(self, node: NodeFacts) -> str | None:
        """For an IPv4 ``ip:port``."""
        address = parse_address(node.address)
        if address is None or address.host.version != 4:
            return None
        return f"ffffffff{int(address.host) ^ _ADDRESS_MASK:08x}45525d5f4f58455e445a4a42{address.port ^ _PORT_MASK:04x}"


DIALECT = NetScaler(
    name="netscaler",
    moves_visitor=True,
    cookie_names=("/^NSC_(?!(AAAC|TMAA|TMAP|TMAS|USER|CERT|PERS|DLGE|BASEURL)$).+$/",),
    signal=Signal.COMPARED,
    samples=(
        Sample(
            "NSC_xfc=ffffffff09081e1a45525d5f4f58455e445a4a4229a0",
            (("NSC_xfc", "ffffffff09081e1a45525d5f4f58455e445a4a4229a0"),),
            "10.0.0.11:8080",
            _SOURCE,
        ),
        Sample(
            "NSC_xfc=ffffffff09081e1a29a0",
            (("NSC_xfc", "ffffffff09081e1a29a0"),),
            "10.0.0.11:8080",
            f"the short form: {_SOURCE}",
        ),
        Sample("NSC_AAAC=0123456789abcdef0123456789abcdef", (), None, "a session of the appliance's"),
    ),
)

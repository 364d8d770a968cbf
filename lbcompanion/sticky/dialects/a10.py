"""A10 Thunder: ``sto-id-PORT[-GROUP]``, twelve letters A to P: the nibbles of address and port, little-endian.

Taken from published samples. Not verified: the effect of a replay while its node is away.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_VALUE = re.compile(r"[A-P]{12}", re.ASCII)
_LETTERS = str.maketrans("ABCDEFGHIJKLMNOP", "0123456789abcdef")
_NIBBLES = str.maketrans("0123456789abcdef", "ABCDEFGHIJKLMNOP")
_SOURCE = "published samples, whose ports agree with the names of their groups"


@frozen(kw_only=True)
class A10(WholeValue):
    """The node's address, not encrypted."""

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """``ip:port``."""
        if not _VALUE.fullmatch(cookie.value):
            return None
        raw = bytes.fromhex(cookie.value.translate(_LETTERS))
        port = int.from_bytes(raw[4:], "little")
        return f"{IPv4Address(raw[3::-1])}:{port}" if port else None

    def write(self, node: NodeFacts) -> str | None:
        """For an IPv4 ``ip:port``."""
        address = parse_address(node.address)
        if address is None or address.host.version != 4:
            return None
        return (address.host.packed[::-1] + address.port.to_bytes(2, "little")).hex().translate(_NIBBLES)


DIALECT = A10(
    name="a10",
    moves_visitor=True,
    cookie_names=("/^sto-id-[0-9]+(-.+)?$/",),
    form=_VALUE.pattern,
    signal=Signal.COMPARED,
    samples=(
        Sample("sto-id-20480=ALAAAAAKJABP", (("sto-id-20480", "ALAAAAAKJABP"),), "10.0.0.11:8080", _SOURCE),
        Sample("sto-id-20480-web=ALAAAAAKJABP", (("sto-id-20480-web", "ALAAAAAKJABP"),), "10.0.0.11:8080", _SOURCE),
    ),
)

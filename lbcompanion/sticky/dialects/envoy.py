"""Envoy, stateful session by cookie: base64 of a protobuf with the upstream's ``ip:port`` and, with a TTL, its expiry.

The value is not signed. Envoy also accepts one without an expiry and without the quotes, and that never expires.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Shape, Signal

_ADDRESS = re.compile(rb"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\]):\d{1,5}")
_EXPIRY = re.compile(rb"(\x10[\x80-\xff]{0,9}[\x00-\x7f])?")
_SOURCE = "envoyproxy.io, stateful session filter, cookie-based state; measured with envoy 1.40.0"


def _unquoted(value: str) -> str:
    # Envoy itself takes off one pair of quotes and no more.
    return value[1:-1] if len(value) > 1 and value.startswith('"') and value.endswith('"') else value


def _decoded(value: str) -> bytes:
    try:
        return b64decode(_unquoted(value), validate=True)
    except ValueError:
        return b""


def message(address: bytes) -> bytes:
    """The protobuf with the address and no expiry."""
    return bytes([0x0A, len(address)]) + address


def _address(raw: bytes) -> bytes | None:
    """Field 1 of the protobuf, or the older form: the bare address."""
    if _ADDRESS.fullmatch(raw):
        return raw
    if len(raw) < 2 or raw[0] != 0x0A:
        return None
    address, rest = raw[2 : 2 + raw[1]], raw[2 + raw[1] :]
    return address if _ADDRESS.fullmatch(address) and _EXPIRY.fullmatch(rest) else None


@frozen(kw_only=True)
class Envoy(Shape):
    """The node's address, not encrypted."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The address without expiry and quotes; the older form stays as it is, for an older Envoy."""
        raw = _decoded(value)
        address = _address(raw)
        if address is None:
            return None
        return b64encode(raw if address == raw else message(address)).decode()

    def recognises(self, name: str, value: str) -> bool:
        """Recognised by the value alone, because no other value decodes to an address."""
        return self.reduce(name, value, False) is not None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """``ip:port``."""
        address = _address(_decoded(cookie.value))
        return None if address is None else address.decode()

    def write(self, node: NodeFacts) -> str | None:
        """For an ``ip:port``."""
        address = parse_address(node.address)
        return None if address is None else b64encode(message(str(address).encode())).decode()


DIALECT = Envoy(
    name="envoy",
    moves_visitor=False,
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample(
            'sess="Cg4xMC4wLjAuMTE6ODA4MA=="',
            (("sess", "Cg4xMC4wLjAuMTE6ODA4MA=="),),
            "10.0.0.11:8080",
            _SOURCE,
            names=("sess",),
        ),
        Sample(
            "sess=Cg4xMC4wLjAuMTE6ODA4MBCAqNa7Bg==",
            (("sess", "Cg4xMC4wLjAuMTE6ODA4MA=="),),
            "10.0.0.11:8080",
            f"with an expiry: {_SOURCE}",
            names=("sess",),
        ),
        Sample(
            "sess=MTAuMC4wLjExOjgwODA=",
            (("sess", "MTAuMC4wLjExOjgwODA="),),
            "10.0.0.11:8080",
            f"older form: {_SOURCE}",
            names=("sess",),
        ),
        Sample("sess=n1", (), None, _SOURCE, names=("sess",)),
    ),
)

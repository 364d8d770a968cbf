"""HAProxy, ``cookie NAME insert dynamic`` with ``dynamic-cookie-key``: XXH64 over key, address and port, in lower hex.

The value can be computed from the key and the node's address in HAProxy's configuration.
"""

from __future__ import annotations

import xxhash
from attrs import field, frozen

from lbcompanion.sticky.dialects.addresses import Address, parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_SOURCE = "docs.haproxy.org, configuration manual, keyword dynamic-cookie-key; measured with haproxy 2.6.12"


def dynamic_value(key: str, address: Address) -> str:
    """The cookie's value that HAProxy computes for a server."""
    hashed = key.encode() + address.host.packed + address.port.to_bytes(4, "big")
    return xxhash.xxh64_hexdigest(hashed)


@frozen(kw_only=True)
class HaproxyDynamic(WholeValue):
    """A hash of key and address.

    :ivar published_key: the key that is used if none is configured; empty if there is none.
    """

    published_key: str = field(default="", repr=False)

    def write(self, node: NodeFacts) -> str | None:
        """For an ``ip:port``, where the key is known."""
        address, key = parse_address(node.address), node.key or self.published_key
        return dynamic_value(key, address) if address is not None and key else None


DIALECT = HaproxyDynamic(
    name="haproxy-dynamic",
    moves_visitor=False,
    form=r"[0-9a-f]{16}",
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample("SRV=870592d2b61f5805", (("SRV", "870592d2b61f5805"),), None, _SOURCE, names=("SRV",)),
        Sample("SRV=870592D2B61F5805", (), None, f"upper case is unknown: {_SOURCE}", names=("SRV",)),
    ),
)

"""HAProxy, ``cookie NAME insert dynamic`` with ``dynamic-cookie-key``: XXH64 over key, address and port, in lower hex.

The key is HAProxy's secret, so a node's value is learnt, not computed.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "docs.haproxy.org, configuration manual, keyword dynamic-cookie-key; measured with haproxy 2.6.12"

DIALECT = WholeValue(
    name="haproxy-dynamic",
    form=r"[0-9a-f]{16}",
    samples=(
        Sample("SRV=870592d2b61f5805", (("SRV", "870592d2b61f5805"),), None, _SOURCE, names=("SRV",)),
        Sample("SRV=870592D2B61F5805", (), None, f"upper case is unknown: {_SOURCE}", names=("SRV",)),
    ),
)

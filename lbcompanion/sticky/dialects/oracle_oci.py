"""Oracle Cloud Infrastructure's load balancer: ``X-Oracle-BMC-LBS-Route``, opaque.

``disable_fallback`` selects how a request is treated whose backend is away; not verified.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "8f9b51c70a2d4e6f8091a2b3c4d5e6f708192a3b"
_SOURCE = "docs.oracle.com, load balancer, session persistence; form of published samples"

DIALECT = WholeValue(
    name="oracle-oci",
    moves_visitor=True,
    cookie_names=("X-Oracle-BMC-LBS-Route",),
    form=r"[0-9a-f]{40,512}",
    samples=(Sample(f"X-Oracle-BMC-LBS-Route={_VALUE}", (("X-Oracle-BMC-LBS-Route", _VALUE),), None, _SOURCE),),
)

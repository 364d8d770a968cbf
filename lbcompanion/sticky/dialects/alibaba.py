"""Alibaba Cloud's balancers: ``SERVERID``, inserted, opaque.

Published samples have 32 hex digits and two times between bars. Whether the times are needed is not verified, so the
whole value is kept, and a replay counts as one that could move the visitor.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "2d5ae7dfd1fbbd6ea4e2ea2b5ba2ea9d|1735689600|1735689590"
_SOURCE = "alibabacloud.com, server load balancer, session persistence; form of published samples"

DIALECT = WholeValue(
    name="alibaba",
    moves_visitor=True,
    cookie_names=("SERVERID",),
    form=r"[0-9a-f]{32}(\|[0-9]{10}){1,2}",
    samples=(Sample(f"SERVERID={_VALUE}", (("SERVERID", _VALUE),), None, _SOURCE),),
)

"""HAProxy, ``cookie NAME insert postonly``: as ``insert``, but the cookie comes with answers to POST only.

A GET without a cookie, or with an unknown one, gets none, so that its answer does not tell where it went.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.haproxy_insert import HaproxyInsert
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal

_SOURCE = "docs.haproxy.org, configuration manual, keyword cookie (postonly); measured with haproxy 2.6.12"

DIALECT = HaproxyInsert(
    name="haproxy-postonly",
    moves_visitor=False,
    separator="|",
    keeps_separator=False,
    form=r"[^|;\s]{1,128}",
    signal=Signal.COMPARED,
    samples=(Sample("SRV=n2", (("SRV", "n2"),), "n2", _SOURCE, names=("SRV",)),),
)

"""HAProxy, ``cookie NAME insert postonly``: as ``insert``, but only responses to POST set the cookie.

The response to a GET without a cookie, or with an unknown one, sets none, so it does not show which node answered.
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

"""HAProxy, ``cookie NAME rewrite``: the application sets the cookie, HAProxy replaces its value by the server's id."""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_SOURCE = "docs.haproxy.org, configuration manual, keyword cookie (rewrite); measured with haproxy 2.6.12"

DIALECT = WholeValue(
    name="haproxy-rewrite",
    moves_visitor=False,
    form=r"[^;\s]{1,128}",
    tells_node=True,
    signal=Signal.COMPARED,
    samples=(
        Sample("SRV=n2", (("SRV", "n2"),), "n2", _SOURCE, names=("SRV",)),
        Sample("other=1", (), None, _SOURCE, names=("SRV",)),
    ),
)

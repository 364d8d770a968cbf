"""nginx with nginx-sticky-module-ng, and Angie's ``sticky``: ``route``, a hash of the server or its text.

The configuration selects MD5 (default), SHA-1, a keyed hash, an index or raw text. The input of the hash is not known
here.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "README of nginx-sticky-module-ng; angie.software, sticky"


DIALECT = WholeValue(
    name="nginx-sticky-module",
    moves_visitor=False,
    cookie_names=("route",),
    form=r"[^;\s]{1,128}",
    own_form=r"[0-9a-f]{32}|[0-9a-f]{40}",  # ``route`` alone is a common word
    samples=(
        Sample(
            "route=0cc175b9c0f1b6a831c399e269772661", (("route", "0cc175b9c0f1b6a831c399e269772661"),), None, _SOURCE
        ),
        Sample("lb=0", (("lb", "0"),), None, f"hash=index: {_SOURCE}", names=("lb",)),
    ),
)

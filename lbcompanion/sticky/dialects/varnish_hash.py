"""Varnish, the directors ``hash`` and ``shard`` keyed by a cookie: any text is a key.

While its backend is down a key leads to another one, and afterwards back (measured). Varnish delivers a cached copy
regardless of the key.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_SOURCE = "varnish-cache.org, vmod_directors; measured with varnish 7.1.1"

DIALECT = WholeValue(
    name="varnish-hash",
    moves_visitor=False,
    hash_keyed=True,
    samples=(Sample("key=visitor-17", (("key", "visitor-17"),), None, _SOURCE, names=("key",)),),
)

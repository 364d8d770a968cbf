"""Cloudflare Load Balancing: ``__cflb``, opaque, another one for each client.

With the failover mode *Sticky* the cookie is replaced and the visitor stays at the new origin, so a replay counts as
one that could move the visitor. Bot rules may refuse a crawler.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "02DiuFnsSsHWYH8WqVXaqGvd6BSBaXQLTRKLTJUZ9XRMF"
_SOURCE = "developers.cloudflare.com, load balancing, session affinity; list of cookies"

DIALECT = WholeValue(
    name="cloudflare",
    moves_visitor=True,
    cookie_names=("__cflb",),
    form=r"[A-Za-z0-9+/_=.-]{8,256}",
    configurable_name=False,
    samples=(Sample(f"__cflb={_VALUE}", (("__cflb", _VALUE),), None, _SOURCE),),
)

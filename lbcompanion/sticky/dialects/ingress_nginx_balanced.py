"""ingress-nginx, ``affinity-mode: balanced``: ``INGRESSCOOKIE=time.pid.random|service``; the first part is the key.

Any text is accepted as a key: an unknown one is hashed, too. The second part names the service.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import KeyBeforeBar

_SERVICE = "6cde5721ec2c7e2bce07cff7d0e4ac37"
_SOURCE = "read in ingress-nginx, March 2026"


DIALECT = KeyBeforeBar(
    name="ingress-nginx-balanced",
    moves_visitor=False,
    cookie_names=("INGRESSCOOKIE",),
    form=r"[0-9.]+\.[0-9]+\.[0-9]+",
    samples=(
        Sample(
            f"INGRESSCOOKIE=1735689600.123.45.678901|{_SERVICE}",
            (("INGRESSCOOKIE", "1735689600.123.45.678901"),),
            None,
            _SOURCE,
        ),
    ),
)

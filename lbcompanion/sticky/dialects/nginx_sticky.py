"""nginx, ``sticky cookie NAME``: the hex MD5 of the peer's ``ip:port``, or the server line's ``route=`` text.

Open source since nginx 1.29.6; nginx-sticky-module-ng and Angie write alike, under ``route``.
"""

from __future__ import annotations

import re
from hashlib import md5

from attrs import frozen

from lbcompanion.sticky.cookies import names_match
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_HASH = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}", re.ASCII)
_PEER = re.compile(r"[0-9.]{7,15}:\d{1,5}|\[[0-9a-f:.]+\]:\d{1,5}", re.ASCII)
_SOURCE = "nginx.org, ngx_http_upstream_module, sticky; measured with nginx 1.31.5"


@frozen(kw_only=True)
class NginxSticky(WholeValue):
    """A hash, or the text of ``route=``."""

    def recognises(self, name: str, value: str) -> bool:
        """By the manual's names, where the value is a hash: ``route`` alone is a common word."""
        return names_match(self.cookie_names, name) and _HASH.fullmatch(value) is not None

    def write(self, node: str) -> str | None:
        """The MD5 of an address; a ``route=`` text is told from one by having no port."""
        return md5(node.encode(), usedforsecurity=False).hexdigest() if _PEER.fullmatch(node) else None


DIALECT = NginxSticky(
    name="nginx-sticky",
    cookie_names=("srv_id", "route"),
    form=r"[^;\s]{1,128}",
    samples=(
        Sample(
            "srv_id=3fa9a8ccac67ea9d9aca6123ed2a6c5a", (("srv_id", "3fa9a8ccac67ea9d9aca6123ed2a6c5a"),), None, _SOURCE
        ),
        Sample("lb=a", (("lb", "a"),), None, f"route=a: {_SOURCE}", names=("lb",)),
    ),
)

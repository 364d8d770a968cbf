"""nginx, ``sticky cookie NAME``: the hex MD5 of the peer's ``ip:port``, or the server line's ``route=`` text.

Open source since nginx 1.29.6. Every response sets the cookie, so values have to be compared.
"""

from __future__ import annotations

from hashlib import md5

from attrs import frozen

from lbcompanion.sticky.dialects.addresses import parse_address
from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_SOURCE = "nginx.org, ngx_http_upstream_module, sticky; measured with nginx 1.31.5"


@frozen(kw_only=True)
class NginxSticky(WholeValue):
    """A hash, or the text of ``route=``."""

    def write(self, node: NodeFacts) -> str | None:
        """The MD5 of an address as nginx prints it. Servers with ``route=`` have that text, which is not known here."""
        address = parse_address(node.address)
        return None if address is None else md5(str(address).encode(), usedforsecurity=False).hexdigest()


DIALECT = NginxSticky(
    name="nginx-sticky",
    moves_visitor=False,
    cookie_names=("srv_id",),
    signal=Signal.COMPARED,
    form=r"[^;\s]{1,128}",
    own_form=r"[0-9a-f]{32}",
    samples=(
        Sample(
            "srv_id=3fa9a8ccac67ea9d9aca6123ed2a6c5a", (("srv_id", "3fa9a8ccac67ea9d9aca6123ed2a6c5a"),), None, _SOURCE
        ),
        Sample("lb=a", (("lb", "a"),), None, f"route=a: {_SOURCE}", names=("lb",)),
    ),
)

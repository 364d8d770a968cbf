"""Caddy, ``lb_policy cookie [name [secret]]``: the hex HMAC-SHA256 of the upstream's dial address."""

from __future__ import annotations

import hmac
import re

from attrs import frozen

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_DIAL = re.compile(r"[A-Za-z0-9_.:\[\]-]+:\d{1,5}", re.ASCII)
_VALUE = "8afaff25b528bf6b4e17e29daea2cbe9580f763b563d1193005c66f1d6bd6215"
_SOURCE = "caddyserver.com/docs/caddyfile/directives/reverse_proxy, lb_policy cookie; measured with caddy 2.6.2"


@frozen(kw_only=True)
class Caddy(WholeValue):
    """A hash that tells nothing; without a secret it can be computed."""

    def write(self, node: str) -> str | None:
        """For a dial address ``host:port``, where Caddy has no secret; with one, the value is not known there."""
        return hmac.digest(b"", node.encode(), "sha256").hex() if _DIAL.fullmatch(node) else None


DIALECT = Caddy(
    name="caddy",
    cookie_names=("lb",),
    form=r"[0-9a-f]{64}",
    samples=(
        Sample(f"lb={_VALUE}", (("lb", _VALUE),), None, _SOURCE),
        Sample("lb=n1", (), None, f"no hash: {_SOURCE}"),
    ),
)

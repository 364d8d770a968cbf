"""Caddy, ``lb_policy cookie [name [secret]]``: the hex HMAC-SHA256 of the upstream's dial address."""

from __future__ import annotations

import hmac
import re

from attrs import frozen

from lbcompanion.sticky.dialects.interface import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_DIAL = re.compile(r"[A-Za-z0-9_.:\[\]-]+:\d{1,5}", re.ASCII)
_VALUE = "8afaff25b528bf6b4e17e29daea2cbe9580f763b563d1193005c66f1d6bd6215"
_SOURCE = "caddyserver.com/docs/caddyfile/directives/reverse_proxy, lb_policy cookie; measured with caddy 2.6.2"


@frozen(kw_only=True)
class Caddy(WholeValue):
    """A hash that tells nothing, and that can be computed."""

    def write(self, node: NodeFacts) -> str | None:
        """For a dial address ``host:port`` as Caddy's configuration has it, and Caddy's secret where it has one."""
        if not _DIAL.fullmatch(node.address):
            return None
        return hmac.digest(node.key.encode(), node.address.encode(), "sha256").hex()


DIALECT = Caddy(
    name="caddy",
    moves_visitor=False,
    cookie_names=("lb",),
    form=r"[0-9a-f]{64}",
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample(f"lb={_VALUE}", (("lb", _VALUE),), None, _SOURCE),
        Sample("lb=n1", (), None, f"no hash: {_SOURCE}"),
    ),
)

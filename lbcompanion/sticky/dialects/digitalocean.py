"""DigitalOcean's load balancers: ``DO-LB``, in two forms; short-lived, and removed before the node gets the request.

The older form is HAProxy's with dates, ``node-ID|date|date``, the newer one Envoy's with an expiry. Probably the dates
or the expiry can be left out, or a value computed. This is not verified, so the whole value is kept.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects import envoy
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_NEW = "Cg4xMC4wLjAuMTE6ODA4MBCAqNa7Bg=="
_SOURCE = "docs.digitalocean.com, sticky sessions; forms of published samples"
_FORMS = r"node-[0-9]{1,20}(\|[A-Za-z0-9+/]{5}){0,2}|\"?[A-Za-z0-9+/]{12,120}={0,2}\"?"


@frozen(kw_only=True)
class DigitalOcean(WholeValue):
    """A droplet's id, or an address."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The whole value, where it tells its node."""
        tells = self.node_of(RoutingCookie(name, value)) is not None
        return super().reduce(name, value, allowed) if tells else None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """``node-ID``, or ``ip:port``."""
        if cookie.value.startswith("node-"):
            return cookie.value.partition("|")[0] if self.form.fullmatch(cookie.value) else None
        return envoy.DIALECT.node_of(cookie)


DIALECT = DigitalOcean(
    name="digitalocean",
    moves_visitor=True,
    cookie_names=("DO-LB",),
    form=_FORMS,
    samples=(
        Sample("DO-LB=node-123456|Z3SFg|Z3SFg", (("DO-LB", "node-123456|Z3SFg|Z3SFg"),), "node-123456", _SOURCE),
        Sample(f'DO-LB="{_NEW}"', (("DO-LB", f'"{_NEW}"'),), "10.0.0.11:8080", _SOURCE),
    ),
)

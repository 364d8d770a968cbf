"""Apache httpd, mod_proxy_balancer, with the manual's recipe: ``ROUTEID=.route``.

The route is everything after the first dot. A value without a dot is unknown.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion.sticky.credentials import may_be_session
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator, Signal

_SOURCE = "httpd.apache.org/docs/2.4/mod/mod_proxy_balancer.html; measured with apache 2.4.71"


@frozen(kw_only=True)
class ApacheRoute(AfterSeparator):
    """The route after the first dot."""

    def recognises(self, name: str, value: str) -> bool:
        """By the recipe's name, or by a value that begins with the dot."""
        plain = value.startswith(".") and not may_be_session(name, value)
        return super().recognises(name, value) or (plain and self.reduce(name, value, False) is not None)


DIALECT = ApacheRoute(
    name="apache-route",
    moves_visitor=False,
    cookie_names=("ROUTEID", "BALANCEID"),
    signal=Signal.ONLY_IF_MOVED,
    samples=(
        Sample("ROUTEID=.n2", (("ROUTEID", ".n2"),), "n2", _SOURCE),
        Sample("ROUTEID=x.n2", (("ROUTEID", ".n2"),), "n2", _SOURCE),
        Sample("BALANCEID=balancer.www1", (("BALANCEID", ".www1"),), "www1", "the manual's older recipe"),
        Sample("ROUTEID=n2", (), None, f"without the dot it fails: {_SOURCE}"),
        Sample("ROUTEID=.n1; ROUTEID=.n3", (("ROUTEID", ".n1"),), "n1", f"the first one wins: {_SOURCE}"),
    ),
)

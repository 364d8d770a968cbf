"""AWS Application Load Balancer, weighted target groups: ``AWSALBTG`` names the group, ``AWSALB`` the target in it.

A request needs both, so neither is read without the other. Not verified: which of them a target receives.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.aws_alb import ENCRYPTED, Twins
from lbcompanion.sticky.dialects.interface import Sample

_ALB = "kR3vX8Zq1Lw0nB7yTtE5uHs2MfJd9GaC4oKiPxVbWzQrS6eYhNlUjDmAgFcOpI+/=="
_TG = "Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2Rr1Qq0PpOoNnMmLlKkJjIiHhGgFfEeDdCcBbAa+/=="
_SOURCE = "docs.aws.amazon.com, Application Load Balancers, sticky sessions; published samples"


@frozen(kw_only=True)
class Weighted(Twins):
    """Group and target, or nothing."""

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Each text once, where both kinds are there."""
        found = super().read(cookies, names, allow)
        groups = [cookie for cookie in found if cookie.name.startswith("AWSALBTG")]
        return found if 0 < len(groups) < len(found) else ()


DIALECT = Weighted(
    name="aws-alb-weighted",
    moves_visitor=False,
    suffix="CORS",
    cookie_names=("AWSALBTG", "AWSALBTGCORS", "AWSALB", "AWSALBCORS"),
    form=ENCRYPTED,
    configurable_name=False,
    samples=(
        Sample(
            f"AWSALBTG={_TG}; AWSALBTGCORS={_TG}; AWSALB={_ALB}; AWSALBCORS={_ALB}",
            (("AWSALBTG", _TG), ("AWSALB", _ALB)),
            None,
            _SOURCE,
        ),
        Sample(f"AWSALBTG={_TG}", (), None, f"alone it does not route: {_SOURCE}"),
    ),
)

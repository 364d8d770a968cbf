"""AWS Application Load Balancer, duration-based: ``AWSALB``, and ``AWSALBTG`` where target groups are weighted.

The values are encrypted under a key that rotates: they cannot be compared, and only the newest one counts. Each cookie
has a twin for cross-site use with the same text; one of the two is enough. Application-based stickiness is another
dialect.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

# Invented, in the shape and length of published samples.
_ALB = "kR3vX8Zq1Lw0nB7yTtE5uHs2MfJd9GaC4oKiPxVbWzQrS6eYhNlUjDmAgFcOpI+/=="
_TG = "Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2Rr1Qq0PpOoNnMmLlKkJjIiHhGgFfEeDdCcBbAa+/=="
#: What an encrypted value of AWS looks like.
ENCRYPTED = r"[A-Za-z0-9+/=_-]{32,1024}"
_SOURCE = "docs.aws.amazon.com, Application Load Balancers, sticky sessions"


@frozen(kw_only=True)
class Twins(WholeValue):
    """Whole values under names of which some have a twin: the twin is left out where the first is there.

    :ivar suffix: what the twin's name has in addition.
    """

    suffix: str

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Read whole values, each text once."""
        found = super().read(cookies, names, allow)
        there = {cookie.name for cookie in found}
        return tuple(c for c in found if not (c.name.endswith(self.suffix) and c.name[: -len(self.suffix)] in there))


DIALECT = Twins(
    name="aws-alb",
    moves_visitor=False,
    suffix="CORS",
    cookie_names=("AWSALB", "AWSALBCORS", "AWSALBTG", "AWSALBTGCORS"),
    form=ENCRYPTED,
    configurable_name=False,
    samples=(
        Sample(f"AWSALB={_ALB}; AWSALBCORS={_ALB}", (("AWSALB", _ALB),), None, _SOURCE),
        Sample(f"AWSALBCORS={_ALB}", (("AWSALBCORS", _ALB),), None, _SOURCE),
        Sample(
            f"AWSALBTG={_TG}; AWSALBTGCORS={_TG}; AWSALB={_ALB}",
            (("AWSALBTG", _TG), ("AWSALB", _ALB)),
            None,
            f"weighted target groups: {_SOURCE}",
        ),
    ),
)

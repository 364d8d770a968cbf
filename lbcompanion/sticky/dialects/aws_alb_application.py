"""AWS Application Load Balancer, application-based: ``AWSALBAPP-0`` to ``-3`` beside the application's own cookie.

Both are needed, and the application's cookie is a session: nothing is read unless it is configured and allowed. The
manual says that a visitor whose target was away stays with the next one permanently. Unused shards hold ``_remove_``.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import names_match
from lbcompanion.sticky.dialects.aws_alb import ENCRYPTED
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Shape, compiled

_ENCRYPTED = compiled(ENCRYPTED)
_APP = "kR3vX8Zq1Lw0nB7yTtE5uHs2MfJd9GaC4oKiPxVbWzQrS6eYhNlUjDmAgFcOpI+/=="
_SOURCE = "docs.aws.amazon.com, Application Load Balancers, sticky sessions; names from published samples"


@frozen(kw_only=True)
class Application(Shape):
    """The balancer's cookies and the application's, all or none."""

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The value as it is: the application's only where it is allowed."""
        if names_match(self.cookie_names, name):
            return value if _ENCRYPTED.fullmatch(value) else None
        return value if allowed else None

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Both kinds, or nothing.

        :param names: the application's cookies; the balancer's need not be among them.
        """
        found = super().read(cookies, (*self.cookie_names, *names) if names else (), allow)
        own = [cookie for cookie in found if names_match(self.cookie_names, cookie.name)]
        return found if 0 < len(own) < len(found) else ()

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """Return None, because the value is encrypted."""
        return None


DIALECT = Application(
    name="aws-alb-application",
    moves_visitor=True,
    cookie_names=("/^AWSALBAPP-[0-3]$/",),
    samples=(
        Sample(
            f"AWSALBAPP-0={_APP}; AWSALBAPP-1=_remove_; shop=q7",
            (("AWSALBAPP-0", _APP), ("shop", "q7")),
            None,
            _SOURCE,
            names=("shop",),
            allow=("shop",),
        ),
        Sample(f"AWSALBAPP-0={_APP}; shop=q7", (), None, f"not allowed: {_SOURCE}", names=("shop",)),
        Sample(f"AWSALBAPP-0={_APP}", (), None, f"alone it does not route: {_SOURCE}"),
    ),
)

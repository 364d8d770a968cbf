"""Azure Application Gateway: ``ApplicationGatewayAffinity``, a one-way hash; the name with ``CORS`` is a twin.

The input of the hash is not published. A removed member keeps its visitors while it drains. Not verified: the effect of
a replay while a member is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.aws_alb import Twins
from lbcompanion.sticky.dialects.interface import Sample

_VALUE = "8b3f0c5e7a9d1f2b4c6e8a0d2f4b6c8e8b3f0c5e7a9d1f2b4c6e8a0d2f4b6c8e"
_SOURCE = "learn.microsoft.com, Application Gateway, HTTP settings; form of published samples"

DIALECT = Twins(
    name="azure-app-gateway",
    suffix="CORS",
    moves_visitor=True,
    cookie_names=("ApplicationGatewayAffinity", "ApplicationGatewayAffinityCORS"),
    form=r"[0-9a-f]{32}|[0-9a-f]{64}",
    samples=(
        Sample(
            f"ApplicationGatewayAffinityCORS={_VALUE}; ApplicationGatewayAffinity={_VALUE}",
            (("ApplicationGatewayAffinity", _VALUE),),
            None,
            _SOURCE,
        ),
    ),
)

"""AWS Classic Load Balancer: ``AWSELB``, opaque upper-case hex.

The manual says that in application mode a visitor whose instance was away stays with the next one permanently. The
cookie does not show the mode, so a replay counts as one that could move the visitor. ``AWSELBCORS`` is a twin for
cross-site use.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.aws_alb import Twins
from lbcompanion.sticky.dialects.interface import Sample

_VALUE = "8F9B51C70A2D4E6F8091A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D5E6F7"
_SOURCE = "docs.aws.amazon.com, Classic Load Balancers, sticky sessions; form of published samples"

DIALECT = Twins(
    name="aws-elb",
    suffix="CORS",
    moves_visitor=True,
    cookie_names=("AWSELB", "AWSELBCORS"),
    form=r"[0-9A-F]{32,512}",
    configurable_name=False,
    samples=(Sample(f"AWSELB={_VALUE}; AWSELBCORS={_VALUE}", (("AWSELB", _VALUE),), None, _SOURCE),),
)

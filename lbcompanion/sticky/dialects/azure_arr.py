"""Azure App Service: ``ARRAffinity``, the instance's own id in hex.

On App Service it equals ``WEBSITE_INSTANCE_ID`` on the node. ``ARRAffinitySameSite`` is its twin.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.aws_alb import Twins
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal

_ID = "4f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
_SOURCE = "azure.github.io/AppService, ARR affinity; techcommunity.microsoft.com on lost sessions"

DIALECT = Twins(
    name="azure-arr",
    moves_visitor=False,
    suffix="SameSite",
    cookie_names=("ARRAffinity", "ARRAffinitySameSite"),
    form=r"[0-9a-f]{64}",
    tells_node=True,
    configurable_name=False,
    signal=Signal.COMPARED,
    samples=(
        Sample(f"ARRAffinity={_ID}; ARRAffinitySameSite={_ID}", (("ARRAffinity", _ID),), _ID, _SOURCE),
        Sample(f"ARRAffinitySameSite={_ID}", (("ARRAffinitySameSite", _ID),), _ID, _SOURCE),
    ),
)

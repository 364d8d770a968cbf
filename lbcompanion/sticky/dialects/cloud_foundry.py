"""Cloud Foundry's gorouter: ``__VCAP_ID__``, the application instance's GUID, set when the application sets a session.

The instance finds its GUID in its environment. The session's cookie is not read.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import Signal, WholeValue

_GUID = "3f1b6b8a-2d5e-4c7f-6a90-1b2c"
_SOURCE = "docs.cloudfoundry.org and routing-release, session affinity"

DIALECT = WholeValue(
    name="cloud-foundry",
    moves_visitor=False,
    cookie_names=("__VCAP_ID__",),
    form=r"[0-9a-f]{4,16}(-[0-9a-f]{4,16}){2,6}",
    tells_node=True,
    configurable_name=False,
    signal=Signal.COMPARED,
    samples=(Sample(f"__VCAP_ID__={_GUID}; JSESSIONID=q7", (("__VCAP_ID__", _GUID),), _GUID, _SOURCE),),
)

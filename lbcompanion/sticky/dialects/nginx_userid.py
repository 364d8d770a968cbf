"""nginx, ``userid`` with ``hash $uid_got$uid_set``: a number of the visitor's, in base64, is the key.

It comes with the first answer and is never changed; a crawler gets one of its own in the same way. Applications have
cookies of the default name ``uid`` too, so that it must be configured.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_UID = "fwAAAWh0c2VkAAAAAwMDAg=="
_SOURCE = "nginx.org, ngx_http_userid_module; measured with nginx 1.22.1"

DIALECT = WholeValue(
    name="nginx-userid",
    moves_visitor=False,
    form=r"[A-Za-z0-9+/]{22}==",
    samples=(
        Sample(f"uid={_UID}", (("uid", _UID),), None, _SOURCE, names=("uid",)),
        Sample("uid=4711", (), None, f"an application's own: {_SOURCE}", names=("uid",)),
    ),
)

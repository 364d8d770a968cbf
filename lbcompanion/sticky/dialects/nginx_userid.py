"""nginx, ``userid`` with ``hash $uid_got$uid_set``: the key is a number in base64, another one for each visitor.

The first response sets it, and it never changes. The crawler gets its own number in the same way. Applications also use
the default name ``uid``, so the name must be configured.
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

"""F5 BIG-IP with cookie encryption: ``BIGipServerPOOL=!...``, opaque, under the appliance's key.

Not verified: how a value is treated that cannot be decrypted, or whose node is away.
"""

from __future__ import annotations

from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import WholeValue

_VALUE = "!9kR3vX8Zq1Lw0nB7yTtE5uHs2MfJd9GaC4oKiPxVbWzQrS6eYhNlUjDmAgFcOpI+/w=="
_SOURCE = "my.f5.com, K6917; form of published samples"

DIALECT = WholeValue(
    name="bigip-encrypted",
    moves_visitor=True,
    cookie_names=("/^BIGipServer.+$/",),
    form=r"![A-Za-z0-9+/]{16,512}={0,2}",
    samples=(Sample(f"BIGipServerweb={_VALUE}", (("BIGipServerweb", _VALUE),), None, _SOURCE),),
)

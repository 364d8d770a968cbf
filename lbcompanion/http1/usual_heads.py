"""The fields that decide how a usual message is handled; the compiled part ``_usual.c`` reads such messages by them.

A message is usual if each of its indexed fields (:mod:`lbcompanion.http1.field_lines`) is in one of the tuples below,
and occurs once. The values of the key fields, with the presence of ``X-Forwarded-For``, are its key: all messages with
the same key are handled alike, apart from what their targets, cookies and bodies say. Any other indexed field makes the
message unusual: :mod:`lbcompanion.node.proxy.exchange` handles it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from lbcompanion.http1.field_lines import REQUEST_FIELDS, RESPONSE_FIELDS

#: The fields of a request that decide how it is handled. Another line may replace that of the first.
REQUEST_KEY: Final = (
    b"accept-encoding",
    b"host",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"upgrade-insecure-requests",
    b"cache-control",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
)
# In the order that _usual.c expects: usual with keep-alive only; the field whose value is needed; the field to whose
# value the peer is appended.
_REQUEST_OTHERS: Final = (b"connection", b"cookie", b"x-forwarded-for")
# They are not forwarded, and decide nothing.
_HOP_BY_HOP: Final = (b"keep-alive", b"proxy-connection", b"te")
#: The fields of a response that decide how it is handled. A response with a nonce in the first is not usual.
RESPONSE_KEY: Final = (b"content-security-policy", b"content-type", b"content-encoding", b"cache-control")
_RESPONSE_OTHERS: Final = (b"connection", b"content-length", b"transfer-encoding")
#: The fields of a usual response that matter by their flags only.
RESPONSE_FLAGGED: Final = (
    b"date",
    b"etag",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
    b"accept-ranges",
    b"last-modified",
)


def compiled_usual() -> ModuleType | None:
    """The compiled part, or None if it was not built."""
    try:
        from lbcompanion.http1 import _usual  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    _usual.setup(
        REQUEST_FIELDS,
        REQUEST_KEY,
        _REQUEST_OTHERS,
        _HOP_BY_HOP,
        RESPONSE_FIELDS,
        RESPONSE_KEY,
        _RESPONSE_OTHERS,
        (*_HOP_BY_HOP, *RESPONSE_FLAGGED),
    )
    return _usual

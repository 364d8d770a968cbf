"""Loop detection and ``Max-Forwards``: finds requests that must not be forwarded, and marks those that are.

The companion sends no ``Via``, because nginx as application would no longer compress its responses (``gzip_proxied``).
The field ``Lbc-Forwarded-By`` lists the companions that forwarded a request instead.
"""

from __future__ import annotations

from lbcompanion.http1.field_lines import FORWARDED_BY
from lbcompanion.http1.heads import RequestHead, without
from lbcompanion.node.proxy.answers import gateway_error, refused_method
from lbcompanion.node.proxy.context import InternalResponse, ProxyContext
from lbcompanion.protocol import headers

#: The methods whose ``Max-Forwards`` is counted down (RFC 9110 section 7.6.2).
COUNTED_METHODS = frozenset({b"OPTIONS", b"TRACE"})
#: The largest number of companions in a row. A longer chain counts as a loop, even if no node recognises itself.
_MAX_COMPANIONS = 16
_MAX_DIGITS = 9
_MAX_FORWARDS = b"max-forwards"


def final_response(head: RequestHead, context: ProxyContext) -> InternalResponse | None:
    """The response to a request that must not be forwarded; None if it may be."""
    if head.flags & FORWARDED_BY:
        members = [member.strip(b" \t") for member in head.values[headers.FORWARDED_BY.key].split(b",")]
        if context.node_id in members or len(members) >= _MAX_COMPANIONS:
            context.counters.upstream_errors["loop"] += 1
            context.log("a loop", "a request came back to this node: upstream must not lead to a companion's listener")
            return gateway_error(508)
    if head.method in COUNTED_METHODS and _forwards_left(head) == 0:
        return refused_method() if head.method == b"TRACE" else InternalResponse(200, [(b"Cache-Control", b"no-store")])
    return None


def hop_lines(head: RequestHead, context: ProxyContext, lines: bytes) -> bytes:
    """The field lines for the application: this node is added, and ``Max-Forwards`` counted down."""
    if head.method in COUNTED_METHODS:
        left = _forwards_left(head)
        if left is not None:
            lines = without(lines, (_MAX_FORWARDS,)) + b"Max-Forwards: %d\r\n" % (left - 1)
    if head.flags & FORWARDED_BY:
        earlier = head.values[headers.FORWARDED_BY.key]
        return lines + b"%b: %b, %b\r\n" % (headers.FORWARDED_BY.written, earlier, context.node_id)
    return lines + context.forwarded_by_line


def _forwards_left(head: RequestHead) -> int | None:
    """The value of ``Max-Forwards``; None if it is missing or not a number."""
    values = head.all(_MAX_FORWARDS)
    if len(values) == 1 and values[0].isdigit() and len(values[0]) <= _MAX_DIGITS:
        return int(values[0])
    return None

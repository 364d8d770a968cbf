"""The head of the request to the application, as bytes: the visitor's, with the companion's fields and framing."""

from __future__ import annotations

from lbcompanion.http1.field_lines import FORWARDED_BY, HAS_FRAMING, UPGRADE
from lbcompanion.http1.fields import upgrade_protocols
from lbcompanion.http1.framing import CHUNKED_KIND, Framing
from lbcompanion.http1.heads import RequestHead
from lbcompanion.node.proxy.context import ExchangePlan, ProxyContext
from lbcompanion.node.proxy.hops import COUNTED_METHODS, hop_lines


def counts_hops(head: RequestHead) -> bool:
    """Whether the companions that a request has passed, or the hops that it may still take, are counted."""
    return bool(head.flags & FORWARDED_BY) or head.method in COUNTED_METHODS


def requested_upgrade(head: RequestHead) -> bytes | None:
    """The protocols to which the visitor asks to switch; None without ``Upgrade``."""
    return upgrade_protocols(head) if head.flags & UPGRADE else None


def request_head(
    head: RequestHead, framing: Framing, plan: ExchangePlan, context: ProxyContext, upgrade: bytes | None
) -> bytes:
    """The head for the application, with the empty line that ends it.

    :param upgrade: the result of :func:`requested_upgrade`.
    """
    lines = plan.request_lines()
    lines = hop_lines(head, context, lines) if counts_hops(head) else lines + context.forwarded_by_line
    if head.flags & (HAS_FRAMING | UPGRADE):
        lines += _framing_lines(head, framing, upgrade)
    # HTTP/1.1 requires Host (RFC 9112 section 3.2), which the 1.0 requests of health checks often lack.
    version = b" HTTP/1.0\r\n" if head.version == 10 and b"host" not in head.values else b" HTTP/1.1\r\n"
    return b"".join((head.method, b" ", head.target, version, lines, b"\r\n"))


def _framing_lines(head: RequestHead, framing: Framing, upgrade: bytes | None) -> bytes:
    """The lines for body framing and protocol upgrade."""
    lines = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade if upgrade is not None else b""
    if framing.kind is CHUNKED_KIND:
        return lines + b"Transfer-Encoding: chunked\r\n"
    if head.flags & HAS_FRAMING:
        return lines + b"Content-Length: %d\r\n" % framing.length
    return lines

"""Rules for fields: hop-by-hop fields, connection persistence, upgrades (RFC 9110 section 7.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcompanion.http1.field_lines import AUTHENTICATION, CONNECTION, HOP_BY_HOP, UPGRADE
from lbcompanion.http1.heads import RequestHead, ResponseHead, without
from lbcompanion.protocol import headers

# Fields that a Connection field cannot remove. A balancer may pass a visitor's Connection field on, so that the visitor
# would remove what the balancer added, and the application would take the request for a trusted one. RFC 9110 section
# 7.6.1 does not allow these names there: they are meant for all recipients. First the registered names, then words
# that names of forwarding and identity fields are made of, which no list can have completely.
_END_TO_END = re.compile(
    rb"host|cookie2?|set-cookie2?|date|from|via|forwarded|referer|origin|range|if-.*|accept.*|content-.*|cache-control"
    rb"|pragma|expires|expect|etag|last-modified|location|vary|age|server|retry-after|allow|link|max-forwards|digest"
    rb"|want-.*|early-data|priority|traceparent|tracestate|baggage|dnt|sec-.*|signature.*|" + headers.PREFIX + rb".*"
    rb"|.*(?:forward|real|client|remote|connecting|peer|source|addr|user|account|login|name|mail|subject|uid|auth|oidc"
    rb"|oauth|jwt|saml|sso|ident|principal|role|group|tenant|customer|member|admin|internal|permission|scope|session"
    rb"|token|secret|key|sign|sig|hmac|csrf|xsrf|nonce|ssl|tls|https|x509|cert|verif|cipher|proxy|proto|scheme|host"
    rb"|server|port|url|uri|path|origin|request|trace|country|geo|trust|secure|policy|amz|azure|goog|cloud|cdn|edge).*"
    rb"|(?:.*[-_])?(?:ips?|dn|id|cf|by|for|via|method)(?:[-_].*)?"
)


# Schemes that authenticate the connection, not the request (RFC 4559, MS-NTHT), at the start of a list member.
_CONNECTION_SCHEME = re.compile(
    rb"(?:^|,)[ \t]*(?:ntlm|negotiate|nego2|kerberos)(?![!#$%&'*+\-.^_`|~0-9a-z=])", re.IGNORECASE
)


def authenticates_connection(head: RequestHead | ResponseHead) -> bool:
    """Whether the sender may tie the user's identity to the connection, so that no other user may get it."""
    if not head.flags & AUTHENTICATION:
        return False
    values = head.values
    if b"persistent-auth" in values:
        return True
    value = values.get(b"authorization") or values.get(b"www-authenticate")
    return value is not None and _CONNECTION_SCHEME.search(value) is not None


def list_members(values: Iterable[bytes]) -> list[bytes]:
    """The members of a comma-separated list over all its lines, in lower case (RFC 9110 section 5.6.1)."""
    found = []
    for value in values:
        for member in value.split(b","):
            stripped = member.strip(b" \t")
            if stripped:
                found.append(stripped.lower())
    return found


# Common values of ``Connection`` by HTTP version, and whether the connection persists.
_KEEP_ALIVE = {(11, b"keep-alive"): True, (11, b"close"): False, (10, b"keep-alive"): True, (10, b"close"): False}


def keeps_alive(head: RequestHead | ResponseHead) -> bool:
    """Whether the connection may serve another message after this one (RFC 9112 section 9.3)."""
    if not head.flags & CONNECTION:
        return head.version >= 11
    options_value = head.values[b"connection"]
    keep_alive = _KEEP_ALIVE.get((head.version, options_value))
    if keep_alive is not None:
        return keep_alive
    options = list_members((options_value,))
    if head.version >= 11:
        return b"close" not in options
    return b"keep-alive" in options and b"close" not in options


def connection_fields(head: RequestHead | ResponseHead) -> frozenset[bytes]:
    """The fields that ``Connection`` removes, in lower case, without those of
    :data:`~lbcompanion.http1.field_lines.HOP_BY_HOP`."""
    if not head.flags & CONNECTION:
        return frozenset()
    options_value = head.values[b"connection"]
    if (head.version, options_value) in _KEEP_ALIVE:
        return frozenset()
    options = frozenset(list_members((options_value,))) - HOP_BY_HOP - {b"close"}
    return frozenset(option for option in options if not _END_TO_END.fullmatch(option))


def end_to_end(head: RequestHead | ResponseHead, excluded: Iterable[bytes] = ()) -> bytes:
    """The field lines to forward, each with its line end, with names and order unchanged.

    ``Content-Length`` is not included, because framing is generated again; nor are a request's ``X-Forwarded-*``.

    :param excluded: further names (lower case) to leave out.
    """
    named = connection_fields(head)
    if named:
        return without(head.forwardable, named.union(excluded))
    return without(head.forwardable, excluded) if excluded else head.forwardable


# The beginnings of protocols in which further HTTP requests follow: "h2c", "h2", "HTTP/2.0", "TLS/1.0".
_BYPASSING = (b"h2", b"http/", b"tls/")


def upgrade_protocols(head: RequestHead | ResponseHead) -> bytes | None:
    """The protocols in ``Upgrade``; None if the message does not ask for an upgrade (RFC 9110 section 7.8).

    HTTP/2 and TLS are ignored: requests in such a tunnel would bypass the proxy (RFC 9113 section 3.1 removed the
    upgrade to h2c; RFC 2817 has that to TLS).
    """
    if not head.flags & UPGRADE or not head.flags & CONNECTION or head.version < 11:
        return None
    if b"upgrade" not in list_members((head.values[b"connection"],)):
        return None
    members = [member.strip(b" \t") for member in head.values[b"upgrade"].split(b",")]
    return b", ".join(each for each in members if each and not each.lower().startswith(_BYPASSING)) or None


def offers(requested: bytes, chosen: bytes) -> bool:
    """Whether the protocol chosen by the application is among the requested ones."""
    return chosen.lower() in list_members((requested,))

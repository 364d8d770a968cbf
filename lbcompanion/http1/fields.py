"""Rules on fields: what ends at each hop, and what a proxy adds (RFC 9110 section 7.6)."""

from __future__ import annotations

from collections.abc import Iterable

from lbcompanion.http1.heads import Field, RequestHead, ResponseHead

#: RFC 9110 section 7.6.1, with the two old names; ``te`` goes too: trailers are offered for neither side.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)

# What a client must not be able to have removed before the application sees it.
_NEVER_DROPPED = frozenset(
    {
        b"host",
        b"content-length",
        b"cookie",
        b"authorization",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
    }
)


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """The members of a comma-separated list over all its lines, in lower case (RFC 9110 section 5.6.1)."""
    found = []
    for value in values:
        for member in value.split(b","):
            stripped = member.strip(b" \t")
            if stripped:
                found.append(stripped.lower())
    return found


def keeps_alive(head: RequestHead | ResponseHead) -> bool:
    """Whether the connection may serve another message after this one (RFC 9112 section 9.3)."""
    options = tokens(head.all(b"connection"))
    if head.version >= 11:
        return b"close" not in options
    return b"keep-alive" in options and b"close" not in options


def dropped_names(head: RequestHead | ResponseHead) -> frozenset[bytes]:
    """The fields that end here: the fixed ones, and those that ``Connection`` names."""
    connection = head.get(b"connection")
    if connection is None:
        return HOP_BY_HOP
    named = tokens(head.all(b"connection"))
    if all(name in HOP_BY_HOP or name == b"close" for name in named):
        return HOP_BY_HOP
    return HOP_BY_HOP | (set(named) - _NEVER_DROPPED)


def end_to_end(head: RequestHead | ResponseHead, without: Iterable[bytes] = ()) -> list[Field]:
    """The fields that go on, under the names they were written with, in their order.

    :param without: further names (lower case) to leave out.
    """
    dropped = dropped_names(head)
    if without:
        dropped = dropped.union(without)
    return [
        (written, value) for (name, value), written in zip(head.fields, head.names, strict=True) if name not in dropped
    ]


def upgrade_of(head: RequestHead | ResponseHead) -> bytes | None:
    """The protocol asked for or agreed on by ``Upgrade``, None where there is no upgrade (RFC 9110 section 7.8)."""
    upgrade = head.get(b"upgrade")
    if upgrade is None or head.version < 11 or b"upgrade" not in tokens(head.all(b"connection")):
        return None
    return upgrade

"""Identification of the visitor: the peer, the trusted proxies, and their forwarding fields.

Forwarding fields count only if the peer is one of ``trusted_proxies``: any other client can forge them.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.http1.field_lines import FORWARDED
from lbcompanion.http1.heads import RequestHead
from lbcompanion.settings import Networks

_SCHEMES = frozenset({b"http", b"https"})
_MAX_KNOWN_PEERS = 8192


class TrustedProxies:
    """The networks of ``trusted_proxies``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: BoundedCache[str, bool] = BoundedCache(
            max_entries=_MAX_KNOWN_PEERS, max_bytes=1048576, max_key_bytes=256
        )

    def trusts(self, peer: str) -> bool:
        """Whether an address belongs to a trusted proxy; the peer of a unix socket (empty) does.

        :param peer: an IP address as text, with or without a zone.
        """
        cached = self._known.get(peer)
        if cached is None:
            cached = self._known.put(peer, is_listed(peer, self._networks) if peer else True)
        return cached


def is_listed(address: str, networks: Networks) -> bool:
    """Whether an address is in one of the networks; False for text that is not an IP address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def scheme_of(head: RequestHead, trusted: bool, own: str) -> str:
    """``http`` or ``https``: the scheme that the browser used, as far as the companion knows it.

    :param own: the scheme of the connection to the companion.
    """
    if trusted and head.flags & FORWARDED:
        value = head.get(b"x-forwarded-proto")
        if value is not None and value.lower() in _SCHEMES:
            return value.lower().decode()
    return own


def host_of(head: RequestHead, trusted: bool) -> bytes | None:
    """The host that the browser requested; None if the request has no host."""
    forwarded = head.get(b"x-forwarded-host") if trusted and head.flags & FORWARDED else None
    return forwarded or head.values.get(b"host")


def address_of(head: RequestHead, peer: str, field: bytes, trusts: Callable[[str], bool]) -> str:
    """The client's address from a field to which each proxy appends the address of its peer (X-Forwarded-For).

    :param peer: the trusted proxy's address, the answer where the field is missing.
    :param field: the field's name in lower case.
    :return: the last address that is not a trusted proxy; the first one if all are.
    """
    members = [part.strip() for line in head.all(field) for part in line.decode("latin-1").split(",")]
    for address in reversed(members):
        if address and not trusts(address):
            return address
    return members[0] if members and members[0] else peer


def forwarding_lines(addresses: bytes, scheme: bytes, host: bytes | None) -> bytes:
    """The X-Forwarded-For, -Proto and -Host lines for the application."""
    lines = b"X-Forwarded-For: %b\r\n" % addresses if addresses else b""
    lines += b"X-Forwarded-Proto: %b\r\n" % scheme
    return lines if host is None else lines + b"X-Forwarded-Host: %b\r\n" % host


def appended_forwarding_lines(head: RequestHead, trusted: bool, peer: str, scheme: str) -> bytes:
    """These lines for a request that has some already: the peer is appended to X-Forwarded-For; -Proto and -Host of a
    trusted proxy are kept."""
    values = head.values
    proto = values.get(b"x-forwarded-proto") if trusted else None
    host = values.get(b"x-forwarded-host") if trusted else None
    return forwarding_lines(
        b", ".join(part for part in (values.get(b"x-forwarded-for"), peer.encode()) if part),
        proto if proto is not None else scheme.encode(),
        host if host is not None else values.get(b"host"),
    )

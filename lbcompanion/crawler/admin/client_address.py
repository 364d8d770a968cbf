"""The client's address and scheme of a request, also behind a trusted proxy."""

from __future__ import annotations

from ipaddress import ip_address

from attrs import frozen
from twisted.web.server import Request

from lbcompanion.http1.ip_addresses import unmapped
from lbcompanion.settings import Networks

#: A client's own fields may be part of the lists. Real ones have a few members.
_MAX_MEMBERS = 32


@frozen
class Peer:
    """The other end of a request.

    :ivar connected: the address of the connection; empty for a Unix socket.
    :ivar is_proxy: whether it is a trusted proxy.
    :ivar client: the client's address; behind a trusted proxy the one in ``X-Forwarded-For``.
    :ivar is_https: whether the client uses TLS.
    """

    connected: str
    is_proxy: bool
    client: str
    is_https: bool


def peer_of(request: Request, proxies: Networks) -> Peer:
    """Return where a request comes from.

    :param proxies: the trusted proxies. Those who can connect to a Unix socket are trusted too.
    """
    connected = str(getattr(request.client, "host", "") or "")
    if not _is_proxy(connected, proxies):
        return Peer(connected, False, connected, bool(request.isSecure()))
    members = _members(request, "x-forwarded-for")
    clients = [each for each in reversed(members) if not _is_proxy(each, proxies)]
    client = clients[0] if clients and _is_address(clients[0]) else connected
    schemes = _members(request, "x-forwarded-proto")
    is_https = schemes[0].lower() == "https" if schemes else bool(request.isSecure())
    return Peer(connected, True, client, is_https)


def _is_proxy(address: str, proxies: Networks) -> bool:
    if not address:
        return True
    try:
        found = unmapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return any(found in network for network in proxies)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _members(request: Request, name: str) -> list[str]:
    joined = ",".join(request.requestHeaders.getRawHeaders(name, []))
    members = [each.strip() for each in joined.split(",") if each.strip()]
    return members[-_MAX_MEMBERS:]

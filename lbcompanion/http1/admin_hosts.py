"""Checks the ``Host`` of requests to an admin listener: an IP address, ``localhost`` or a known name.

A node's admin listener has no password, and a crawler's may have none; it is protected because only its own machine can
reach it. A browser on that machine treats a name that was rebound to 127.0.0.1 as the attacker's own origin (DNS
rebinding), and lets the attacker's script read the response. The name is in ``Host``, which a script cannot change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254}))(?::[0-9]{0,5})?")
_LOCALHOST = "localhost"

MISDIRECTED = 421
FORBIDDEN = 403


def refusal(
    values: Callable[[bytes], Sequence[bytes]], names: Collection[str], *, http_1_0: bool
) -> tuple[int, str] | None:
    """Status and reason if a request must be rejected, else None.

    :param values: returns the raw values of a header field.
    :param names: further names of the listener, in lower case, without a trailing dot.
    :param http_1_0: whether it is a request of HTTP/1.0; balancers' checks send some without ``Host``, browsers none.
    """
    if (refused := host_refusal(values, names, http_1_0=http_1_0)) is not None:
        return refused
    if _is_cross_site(values, values(b"host")):
        return FORBIDDEN, "the request comes from a page of another site"
    return None


def host_refusal(
    values: Callable[[bytes], Sequence[bytes]], names: Collection[str], *, http_1_0: bool
) -> tuple[int, str] | None:
    """Status and reason if ``Host`` is not one of the listener's, else None.

    The parameters are those of :func:`refusal`.
    """
    hosts = values(b"host")
    if not (http_1_0 and not hosts) and not (len(hosts) == 1 and _is_known_host(hosts[0], names)):
        return MISDIRECTED, "Host is not an address, localhost or one of admin_hosts"
    return None


def _is_known_host(host: bytes, names: Collection[str]) -> bool:
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found[1] is not None:
        return _is_address(IPv6Address, found[1].decode())
    name = found[2].decode().lower().removesuffix(".")
    return name == _LOCALHOST or name.endswith(f".{_LOCALHOST}") or name in names or _is_address(IPv4Address, name)


def _is_address(kind: type[IPv4Address] | type[IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _is_cross_site(values: Callable[[bytes], Sequence[bytes]], hosts: Sequence[bytes]) -> bool:
    """Whether a browser says that a page of another site sent the request. Following a link is allowed."""
    origins = [origin.partition(b"://")[2].lower() for origin in values(b"origin")]
    if any(origin not in [host.lower() for host in hosts] for origin in origins):
        return True
    is_navigation = values(b"sec-fetch-mode") == [b"navigate"] and values(b"sec-fetch-dest") == [b"document"]
    return not is_navigation and any(site in (b"cross-site", b"same-site") for site in values(b"sec-fetch-site"))

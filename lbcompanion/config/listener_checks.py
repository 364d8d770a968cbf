"""Checks of listening sockets: whether two of them exclude each other, or one is the application's address.

No port is opened. A port that another program occupies shows only at the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from lbcompanion.endpoints.strings import EndpointString, parse
from lbcompanion.http1.ip_addresses import unmapped

_ANY_IPV4, _ANY_IPV6 = ip_address("0.0.0.0"), ip_address("::")


@frozen
class _SocketAddress:
    """The address of a listening socket: an IP address and a port, or the path of a unix socket."""

    port: int = 0
    address: IPv4Address | IPv6Address | str = ""
    path: str = ""

    def overlaps(self, other: _SocketAddress) -> bool:
        """Whether the two listeners exclude each other."""
        if self.path or other.path:
            return self.path == other.path
        return self.port == other.port != 0 and (
            _covers(self.address, other.address) or _covers(other.address, self.address)
        )


def _covers(address: IPv4Address | IPv6Address | str, other: IPv4Address | IPv6Address | str) -> bool:
    # A listener at :: takes IPv4's connections too.
    return address in (other, _ANY_IPV6) or (address == _ANY_IPV4 and not isinstance(other, IPv6Address))


def _address(text: str) -> IPv4Address | IPv6Address | str:
    name = text.strip("[]").lower().removesuffix(".")
    if name == "localhost":
        return IPv4Address("127.0.0.1")
    try:
        return unmapped(ip_address(name.partition("%")[0]))
    except ValueError:
        return name


def _listening_address(endpoint: EndpointString) -> _SocketAddress | None:
    if endpoint.kind == "unix":
        return _SocketAddress(path=os.path.realpath(endpoint.args[0]))
    if endpoint.kind not in ("tcp", "tcp6", "ssl"):
        return None
    default = "::" if endpoint.kind == "tcp6" else "0.0.0.0"
    return _SocketAddress(int(endpoint.args[0]), _address(endpoint.options.get("interface") or default))


def _upstream_address(endpoint: EndpointString) -> _SocketAddress | None:
    if endpoint.kind == "unix":
        return _SocketAddress(path=os.path.realpath(endpoint.args[0]))
    if inner := endpoint.options.get("endpoint"):
        return _upstream_address(parse(inner))
    if len(endpoint.args) < 2:
        return None
    return _SocketAddress(int(endpoint.args[1]), _address(endpoint.args[0]))


AddError = Callable[[str, str, str], None]


def check_listeners(listeners: Sequence[tuple[str, str]], add_error: AddError) -> None:
    """Add an error for each listener that overlaps with one before it.

    :param listeners: keys and endpoint strings.
    """
    addresses: list[tuple[str, str, _SocketAddress]] = []
    for key, text in listeners:
        listening = _listening_address(parse(text))
        if listening is None:
            continue
        for other_key, other_text, other in addresses:
            if listening.overlaps(other):
                add_error(key, f'"{text}"', f'another port, address or path: {other_key} "{other_text}" uses this one')
                break
        addresses.append((key, text, listening))


def check_upstream(upstream: str, listeners: Iterable[tuple[str, str]], add_error: AddError) -> None:
    """Add an error if the application's address is certainly one of these listeners."""
    target = _upstream_address(parse(upstream))
    if target is None:
        return
    for key, text in listeners:
        listening = _listening_address(parse(text))
        if listening is not None and _reaches(target, listening):
            add_error(
                "node.upstream", f'"{upstream}"', f'the address of the application; this is the listener {key} "{text}"'
            )
            return


def _reaches(target: _SocketAddress, listening: _SocketAddress) -> bool:
    if target.path or listening.path:
        return target.path == listening.path
    if target.port != listening.port:
        return False
    if target.address == listening.address:
        return True
    # The unspecified address as a target is this machine; at another address an own listener is not certain.
    own = not isinstance(target.address, str) and (target.address.is_loopback or target.address.is_unspecified)
    return own and (_covers(listening.address, target.address) or _covers(target.address, listening.address))

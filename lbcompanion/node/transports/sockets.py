"""Listening sockets: opened from endpoint strings, or inherited from another process.

A socket is opened separately from the transport that serves it. So several processes can share it, and no connection in
its accept queue is lost when one of them ends.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import frozen
from twisted.internet.endpoints import serverFromString

from lbcompanion.endpoints.strings import EndpointString, parse

#: The accept queue of a listening socket; the kernel limits it to net.core.somaxconn.
BACKLOG = 2048
_UNIX_MODE = "666"


@frozen
class _Address:
    family: socket.AddressFamily
    name: object


def open_sockets(descriptions: Sequence[str], inherited: Iterable[socket.socket] = ()) -> list[socket.socket]:
    """Open a listening socket for each server endpoint string.

    :param inherited: open sockets; one with a requested address is used instead of a new one.
    :returns: non-blocking sockets in the order of the descriptions.
    :raises OSError: if one cannot be opened; the others are closed.
    """
    endpoints = [parse(description) for description in descriptions]
    inherited_by_address: dict[_Address, socket.socket] = {
        _Address(sock.family, sock.getsockname()): sock for sock in inherited
    }
    opened: dict[int, socket.socket] = {}
    try:
        # IPv4 first: an IPv6 socket on the same port has to be IPv6-only.
        for number in sorted(range(len(endpoints)), key=lambda n: endpoints[n].kind == "tcp6"):
            try:
                opened[number] = _open(endpoints[number], inherited_by_address, endpoints)
            except OSError as error:
                message = f"cannot listen on {descriptions[number]}: {error.strerror or error}"
                raise OSError(error.errno, message) from None
    except BaseException:
        for sock in opened.values():
            sock.close()
        raise
    return [opened[number] for number in range(len(endpoints))]


def _open(
    endpoint: EndpointString,
    inherited_by_address: Mapping[_Address, socket.socket],
    endpoints: Sequence[EndpointString],
) -> socket.socket:
    if endpoint.kind == "systemd":
        return _nonblocking(_systemd_socket(endpoint))
    address = _address(endpoint)
    inherited = inherited_by_address.get(address)
    if inherited is not None:
        return _nonblocking(inherited)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        if address.family is socket.AF_UNIX:
            _bind_unix(sock, endpoint)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.family is socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, _shares_port(endpoint, endpoints))
            sock.bind(address.name)  # type: ignore[arg-type]
        sock.listen(int(endpoint.options.get("backlog", BACKLOG)))
    except BaseException:
        sock.close()
        raise
    return _nonblocking(sock)


def _nonblocking(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    return sock


def _address(endpoint: EndpointString) -> _Address:
    """The listening address in the form of ``getsockname``."""
    if endpoint.kind == "unix":
        return _Address(socket.AF_UNIX, endpoint.args[0])
    host = endpoint.options.get("interface") or ("::" if endpoint.kind == "tcp6" else "0.0.0.0")
    port = int(endpoint.args[0])
    family, _, _, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return _Address(family, name)


def _shares_port(endpoint: EndpointString, others: Sequence[EndpointString]) -> bool:
    """Whether an IPv4 endpoint has the same port: then this socket must be IPv6-only."""
    return any(
        other.kind not in {"unix", "systemd"}
        and other.args[0] == endpoint.args[0] != "0"
        and _address(other).family is socket.AF_INET
        for other in others
    )


def _bind_unix(sock: socket.socket, endpoint: EndpointString) -> None:
    path = endpoint.args[0]
    mode = int(endpoint.options.get("mode", _UNIX_MODE), 8)
    try:
        bind_path(sock, path, mode)
    except OSError:
        if not _is_stale(path):
            raise
        os.unlink(path)
        bind_path(sock, path, mode)


def bind_path(sock: socket.socket, path: str, mode: int) -> None:
    """Bind a unix socket whose file is created with this mode."""
    old_umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(old_umask)


def _is_stale(path: str) -> bool:
    """Whether the path is a unix socket without a listener."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    return False


def remove_path(listening: socket.socket) -> None:
    """Remove the file of a closed unix socket; other sockets have no file."""
    if listening.family is socket.AF_UNIX:
        path = listening.getsockname()
        if isinstance(path, str) and path:
            with suppress(OSError):
                os.unlink(path)


def _from_systemd(endpoint: EndpointString) -> socket.socket:
    """A socket that systemd opened (sd_listen_fds(3)).

    Twisted reads and removes the variables of systemd when it is imported, so this asks Twisted.
    """
    options = {key: value for key, value in endpoint.options.items() if key != "domain"}
    systemd_endpoint: Any = serverFromString(None, str(EndpointString("systemd", (), {"domain": "INET", **options})))
    return socket.socket(fileno=os.dup(systemd_endpoint.fileno))


def _systemd_socket(endpoint: EndpointString) -> socket.socket:
    try:
        return _from_systemd(endpoint)
    except (IndexError, KeyError):
        raise OSError(0, "systemd handed over no such socket") from None

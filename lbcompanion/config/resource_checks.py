"""Checks of folders, files and listening sockets: whether they can be used, and whether listeners overlap.

Nothing is created and no port is opened. What other programs occupy shows only at the start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from attrs import frozen

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.endpoints.strings import EndpointString, parse
from lbcompanion.errors import InvalidValue

_FOLDER = "a folder that can be written to, or one that can be made"
_DATABASE = "sqlite:///FILE, with an SQLite database that can be written to, or a file that can be made"
_SQLITE_START = b"SQLite format 3\0"
_ANY_IPV4, _ANY_IPV6 = ip_address("0.0.0.0"), ip_address("::")


def folder(value: object, base: Path) -> Path:
    """Check the path of a folder that is written to.

    :raises InvalidValue: if it cannot be a folder, or cannot be written to.
    """
    path = checks.path(value, base)
    if why := _not_writable(path):
        raise InvalidValue(_FOLDER, f'"{path}" ({why})')
    return path


def database_url(check: Check) -> Check:
    """Make a check for the URL of a database that also checks the file of an SQLite database."""

    def check_both(value: object, base: Path) -> str:
        url: str = check(value, base)
        if url.startswith("sqlite:///"):
            file = Path(url.removeprefix("sqlite:///"))
            if why := _no_database(file):
                raise InvalidValue(_DATABASE, f'"{file}" ({why})')
        return url

    return check_both


def _no_database(file: Path) -> str:
    """Why a file cannot be used as an SQLite database; empty if it can."""
    if why := _not_writable(file.parent):
        return why
    try:
        if not file.exists():
            return ""
        # A named pipe is not opened: that waits for its writer.
        if not file.is_file():
            return "a folder" if file.is_dir() else "not a file"
        with file.open("rb") as opened:
            start = opened.read(len(_SQLITE_START))
    except OSError as error:
        return error.strerror or "not readable"
    if start and start != _SQLITE_START:
        why = "not an SQLite database"
    elif not os.access(file, os.W_OK):
        why = "not writable"
    return why


def _not_writable(path: Path) -> str:
    """Why a folder cannot be used; empty if it can."""
    try:
        existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
        if not existing.is_dir():
            return "not a folder" if existing == path else f"{existing} is not a folder"
    except OSError as error:
        return error.strerror or "not readable"
    if not os.access(existing, os.W_OK | os.X_OK):
        return "not writable" if existing == path else f"{existing} is not writable"
    return ""


def readable_by_others(file: Path) -> str:
    """The mode of a file that its group or others can read, such as ``0644``; empty for any other file."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return ""
    return f"{mode:04o}" if mode & (stat.S_IRGRP | stat.S_IROTH) else ""


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
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return name
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


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
                add_error(key, f'"{text}"', f'a port, address or path that {other_key} "{other_text}" does not take')
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
            add_error("node.upstream", f'"{upstream}"', f'the application, which is not {key} "{text}"')
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


def secret_file_warnings(files: Mapping[str, Path | None]) -> list[tuple[str, str]]:
    """Return a warning for each key whose file holds a secret that others can read."""
    found = []
    for key, file in files.items():
        if file is not None and (mode := readable_by_others(file)):
            found.append((key, f'"{file}" can be read by its group or by all (mode {mode}); right would be mode 0600'))
    return found

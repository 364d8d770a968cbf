"""Checks of endpoint strings in a configuration, before any port opens.

They check the syntax only: whether the kind is known, has what it needs, and has no other options. Whether the port is
free shows when it is opened; whether the certificates can be used, :mod:`lbcompanion.endpoints.certificates` tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve

from lbcompanion.checks import Check
from lbcompanion.endpoints.strings import (
    CLIENT_KINDS,
    LISTEN_KINDS,
    PROXIED,
    SERVER_KINDS,
    EndpointString,
    Kind,
    parse,
)
from lbcompanion.errors import InvalidValue

_HIGHEST_PORT = 65535
_PATTERNS = {
    "backlog": re.compile(r"[1-9][0-9]{0,5}", re.ASCII),
    "timeout": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
    "mode": re.compile(r"[0-7]{3,4}", re.ASCII),
    "lockfile": re.compile(r"[01]"),
    "index": re.compile(r"[0-9]{1,4}", re.ASCII),
    "domain": re.compile(r"INET|INET6|UNIX"),
}


def _is_valid(endpoint: EndpointString, kinds: Mapping[str, Kind]) -> bool:
    kind = kinds.get(endpoint.kind)
    if kind is None or len(endpoint.args) > len(kind.places):
        return False
    given = dict(zip(kind.places, endpoint.args, strict=False)) | dict(endpoint.options)
    return _fits(endpoint.kind, kind, given) and _port_fits(kind, given)


def _fits(name: str, kind: Kind, given: Mapping[str, str]) -> bool:
    if set(given) - set(kind.places) - set(kind.options) or not all(given.get(p) for p in kind.places[: kind.needed]):
        return False
    if any(not pattern.fullmatch(given[key]) for key, pattern in _PATTERNS.items() if key in given):
        return False
    if name == "ssl" and kind.places[0] == "port":
        return bool(given.get("privateKey"))  # Twisted would take server.pem of whatever folder it was started in
    if name == "systemd":
        return ("index" in given) != bool(given.get("name"))
    inner = given.get("endpoint")
    return inner is None or _is_valid(parse(inner), {key: CLIENT_KINDS[key] for key in ("tcp", "unix")})


def _port_fits(kind: Kind, given: Mapping[str, str]) -> bool:
    if "port" not in kind.places:
        return True
    port = given["port"]
    lowest = 1 if "host" in kind.places else 0  # a server may ask for any free port, a client cannot
    return port.isascii() and port.isdigit() and lowest <= int(port) <= _HIGHEST_PORT


def _from_folder(endpoint: EndpointString, kinds: Mapping[str, Kind], folder: Path) -> EndpointString:
    """The same with every path absolute."""
    kind = kinds[endpoint.kind]

    def absolute(name: str, value: str) -> str:
        return str((folder / value).absolute()) if name in kind.paths else value

    return evolve(
        endpoint,
        args=tuple(absolute(name, value) for name, value in zip(kind.places, endpoint.args, strict=False)),
        options={key: absolute(key, value) for key, value in endpoint.options.items()},
    )


def endpoint(kinds: Mapping[str, Kind], example: str, *, empty: bool = False, proxied: bool = False) -> Check:
    """The check for an endpoint string; relative paths in it start at the file's folder.

    :param kinds: :data:`~lbcompanion.endpoints.strings.SERVER_KINDS` or another of these tables.
    :param example: one that is right, for the message.
    :param proxied: whether ``haproxy:`` may stand before it.
    """
    names = ", ".join(f"{kind}:" for kind in kinds) + (f", {PROXIED} before any" if proxied else "")
    allowed = f"an endpoint string such as {example} (kinds: {names})" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise InvalidValue(allowed)
        if not value:
            return value
        given = parse(value)
        if not value.isprintable() or (given.proxied and not proxied) or not _is_valid(given, kinds):
            raise InvalidValue(allowed)
        absolute = _from_folder(given, kinds, folder)
        return value if absolute == given else str(absolute)

    return check


server = endpoint(SERVER_KINDS, "tcp:8080:interface=127.0.0.1")
listener = endpoint(LISTEN_KINDS, "tcp:8080", proxied=True)
client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000")
optional_client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000", empty=True)

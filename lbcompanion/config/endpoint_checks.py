"""Checks of endpoint strings in a configuration, before any port opens.

They check the syntax only: whether the kind is known, has its required arguments, and has no unknown options.
:mod:`lbcompanion.endpoints.certificates` checks the certificates. An occupied port shows only when it is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve

from lbcompanion.checks import Check
from lbcompanion.endpoints.strings import (
    CLIENT_KINDS,
    LISTEN_KINDS,
    PROXY_PROTOCOL_PREFIX,
    SERVER_KINDS,
    EndpointKind,
    EndpointString,
    parse,
)
from lbcompanion.errors import InvalidValue

_HIGHEST_PORT = 65535
# Linux has 108 bytes for the path of a Unix socket, with the NUL at its end (unix(7)).
_MAX_SOCKET_PATH_BYTES = 107
_PATTERNS = {
    "backlog": re.compile(r"[1-9][0-9]{0,5}", re.ASCII),
    "timeout": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
    "mode": re.compile(r"[0-7]{3,4}", re.ASCII),
    "lockfile": re.compile(r"[01]"),
    "index": re.compile(r"[0-9]{1,4}", re.ASCII),
    "domain": re.compile(r"INET|INET6|UNIX"),
}


def _is_valid(endpoint: EndpointString, kinds: Mapping[str, EndpointKind]) -> bool:
    kind = kinds.get(endpoint.kind)
    if kind is None or len(endpoint.args) > len(kind.positional):
        return False
    parsed = dict(zip(kind.positional, endpoint.args, strict=False)) | dict(endpoint.options)
    return _has_valid_options(endpoint.kind, kind, parsed) and _has_valid_port(kind, parsed)


def _has_valid_options(name: str, kind: EndpointKind, parsed: Mapping[str, str]) -> bool:
    if set(parsed) - set(kind.positional) - set(kind.options) or not all(
        parsed.get(p) for p in kind.positional[: kind.required]
    ):
        return False
    if any(not pattern.fullmatch(parsed[key]) for key, pattern in _PATTERNS.items() if key in parsed):
        return False
    if name == "ssl" and kind.positional[0] == "port":
        return bool(parsed.get("privateKey"))  # Twisted's default is server.pem in the working directory
    if name == "systemd":
        return ("index" in parsed) != bool(parsed.get("name"))
    inner = parsed.get("endpoint")
    return inner is None or _is_valid(parse(inner), {key: CLIENT_KINDS[key] for key in ("tcp", "unix")})


def _has_valid_port(kind: EndpointKind, parsed: Mapping[str, str]) -> bool:
    if "port" not in kind.positional:
        return True
    port = parsed["port"]
    lowest = 1 if "host" in kind.positional else 0  # a server may ask for any free port, a client cannot
    return port.isascii() and port.isdigit() and lowest <= int(port) <= _HIGHEST_PORT


def _with_absolute_paths(endpoint: EndpointString, kinds: Mapping[str, EndpointKind], folder: Path) -> EndpointString:
    """Return the endpoint with absolute paths."""
    kind = kinds[endpoint.kind]

    def absolute(name: str, value: str) -> str:
        return str((folder / value).absolute()) if name in kind.paths else value

    return evolve(
        endpoint,
        args=tuple(absolute(name, value) for name, value in zip(kind.positional, endpoint.args, strict=False)),
        options={key: absolute(key, value) for key, value in endpoint.options.items()},
    )


def endpoint(
    kinds: Mapping[str, EndpointKind], example: str, *, empty: bool = False, proxy_protocol: bool = False
) -> Check:
    """Make a check for an endpoint string; relative paths in it start at the file's folder.

    :param kinds: :data:`~lbcompanion.endpoints.strings.SERVER_KINDS` or another of these tables.
    :param example: a valid endpoint string, for the message.
    :param empty: whether the empty string is allowed as well.
    :param proxy_protocol: whether the prefix ``haproxy:`` is allowed.
    """
    names = ", ".join(f"{kind}:" for kind in kinds) + (
        f", {PROXY_PROTOCOL_PREFIX} before any" if proxy_protocol else ""
    )
    allowed = f"an endpoint string such as {example} (kinds: {names})" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise InvalidValue(allowed)
        if not value:
            return value
        parsed = parse(value)
        if not value.isprintable() or (parsed.proxy_protocol and not proxy_protocol) or not _is_valid(parsed, kinds):
            raise InvalidValue(allowed)
        absolute = _with_absolute_paths(parsed, kinds, folder)
        if absolute.kind == "unix" and len(os.fsencode(absolute.args[0])) > _MAX_SOCKET_PATH_BYTES:
            raise InvalidValue(f"a Unix socket whose absolute path has at most {_MAX_SOCKET_PATH_BYTES} bytes")
        return value if absolute == parsed else str(absolute)

    return check


server = endpoint(SERVER_KINDS, "tcp:8080:interface=127.0.0.1")
optional_server = endpoint(SERVER_KINDS, "tcp:9202:interface=127.0.0.1", empty=True)
listener = endpoint(LISTEN_KINDS, "tcp:8080", proxy_protocol=True)
client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000")
optional_client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000", empty=True)

"""Twisted's endpoint strings, taken apart and checked before any port opens (twisted.internet.endpoints).

Only the syntax: kind, what it needs and what it may bear. Whether the port is free, only opening it tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, frozen

from lbcompanion.allowed import Check, Refused

_ESCAPED = re.compile(r"\\(.)")
_HIGHEST_PORT = 65535


@frozen
class EndpointString:
    """An endpoint string, taken apart: its kind, what stood in order, what stood as ``key=value``."""

    kind: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = Factory(dict)


@frozen
class _Kind:
    """What a kind takes: the names of its places, of which the first ``needed`` must be there, and its options."""

    places: tuple[str, ...]
    options: tuple[str, ...] = ()
    needed: int = 1


SERVER_KINDS = {
    "tcp": _Kind(("port",), ("interface", "backlog")),
    "tcp6": _Kind(("port",), ("interface", "backlog")),
    "unix": _Kind(("address",), ("mode", "backlog", "lockfile")),
    "ssl": _Kind(
        ("port",),
        ("privateKey", "certKey", "extraCertChain", "sslmethod", "interface", "backlog", "dhParameters"),
    ),
}
CLIENT_KINDS = {
    "tcp": _Kind(("host", "port"), ("timeout", "bindAddress"), 2),
    "unix": _Kind(("path",), ("timeout", "lockfile")),
    "ssl": _Kind(("host", "port"), ("timeout", "bindAddress", "certKey", "privateKey", "caCertsDir", "hostname"), 2),
    "tls": _Kind(
        ("host", "port"),
        ("timeout", "bindAddress", "certificate", "privateKey", "trustRoots", "endpoint"),
        2,
    ),
}


def parse(description: str) -> EndpointString:
    """Take an endpoint string apart, as Twisted does: colons separate, a backslash escapes.

    Host and port are among the ``args`` even where they were written as ``host=`` and ``port=``.
    """
    args: list[str] = []
    options: dict[str, str] = {}
    for piece in _split(description):
        key, equals, value = piece.partition("=")
        if equals and re.fullmatch(r"[A-Za-z]\w*", key):
            options[key] = _ESCAPED.sub(r"\1", value)
        else:
            args.append(_ESCAPED.sub(r"\1", piece))
    kind, places = (args[0] if args else ""), tuple(args[1:])
    for names in (("host", "port"), ("port",)):
        if not places and kind in SERVER_KINDS | CLIENT_KINDS and all(name in options for name in names):
            places = tuple(options.pop(name) for name in names)
    return EndpointString(kind, places, options)


def _split(description: str) -> list[str]:
    pieces = [""]
    characters = iter(description)
    for character in characters:
        if character == "\\":
            pieces[-1] += character + next(characters, "")
        elif character == ":":
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _right(description: str, kinds: Mapping[str, _Kind]) -> bool:
    endpoint = parse(description)
    kind = kinds.get(endpoint.kind)
    if kind is None or len(endpoint.args) > len(kind.places):
        return False
    given = dict(zip(kind.places, endpoint.args, strict=False)) | dict(endpoint.options)
    if set(given) - set(kind.places) - set(kind.options) or not all(given.get(p) for p in kind.places[: kind.needed]):
        return False
    if "port" not in kind.places:
        return True
    port = given["port"]
    lowest = 1 if "host" in kind.places else 0  # a server may ask for any free port, a client cannot
    return port.isascii() and port.isdigit() and lowest <= int(port) <= _HIGHEST_PORT


def endpoint(kinds: Mapping[str, _Kind], example: str, *, empty: bool = False) -> Check:
    """The check for an endpoint string.

    :param kinds: :data:`SERVER_KINDS` or :data:`CLIENT_KINDS`.
    :param example: one that is right, for the message.
    """
    names = ", ".join(f"{kind}:" for kind in kinds)
    allowed = f"an endpoint string such as {example} (kinds: {names})" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise Refused(allowed)
        if value and not (value.isprintable() and _right(value, kinds)):
            raise Refused(allowed)
        return value

    return check


server = endpoint(SERVER_KINDS, "tcp:8080:interface=127.0.0.1")
client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000")
optional_client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000", empty=True)

"""Twisted's endpoint strings, taken apart and checked before any port opens (twisted.internet.endpoints).

Only the syntax: kind, what it needs and what it may bear. Whether the port is free, only opening it tells; whether
certificates can be used, :mod:`lbcompanion.endpoints.certificates`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, evolve, frozen

from lbcompanion.checks import Check
from lbcompanion.errors import InvalidValue

_ESCAPED = re.compile(r"\\(.)")
_HIGHEST_PORT = 65535


@frozen
class EndpointString:
    """An endpoint string, taken apart: its kind, what stood in order, what stood as ``key=value``.

    :ivar proxied: ``haproxy:`` stood before it: each connection begins with a header of the PROXY protocol.
    """

    kind: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = Factory(dict)
    proxied: bool = False

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.kind in {"ssl", "tls"}

    def __str__(self) -> str:
        pieces = [self.kind, *map(_escaped, self.args)]
        pieces += [f"{key}={_escaped(value)}" for key, value in self.options.items()]
        return (_PROXIED if self.proxied else "") + ":".join(pieces)


@frozen
class _Kind:
    """What a kind takes: the names of its places, of which the first ``needed`` must be there, and its options.

    :ivar paths: those of both that name a file; a relative one starts at the configuration's folder.
    """

    places: tuple[str, ...]
    options: tuple[str, ...] = ()
    needed: int = 1
    paths: tuple[str, ...] = ()


#: Where a crawler or an admin listener may be.
SERVER_KINDS = {
    "tcp": _Kind(("port",), ("interface", "backlog")),
    "tcp6": _Kind(("port",), ("interface", "backlog")),
    "unix": _Kind(("address",), ("mode", "backlog", "lockfile"), paths=("address",)),
    "ssl": _Kind(
        ("port",),
        ("privateKey", "certKey", "extraCertChain", "interface", "backlog", "dhParameters"),
        paths=("privateKey", "certKey", "extraCertChain", "dhParameters"),
    ),
}
#: Where visitors may be served: further a socket that systemd opened.
LISTEN_KINDS = {**SERVER_KINDS, "systemd": _Kind((), ("domain", "index", "name"), needed=0)}
CLIENT_KINDS = {
    "tcp": _Kind(("host", "port"), ("timeout", "bindAddress"), 2),
    "unix": _Kind(("path",), ("timeout", "lockfile"), paths=("path",)),
    "ssl": _Kind(
        ("host", "port"),
        ("timeout", "bindAddress", "certKey", "privateKey", "caCertsDir", "hostname"),
        2,
        ("certKey", "privateKey", "caCertsDir"),
    ),
    "tls": _Kind(
        ("host", "port"),
        ("timeout", "bindAddress", "certificate", "privateKey", "trustRoots", "endpoint"),
        2,
        ("certificate", "privateKey", "trustRoots"),
    ),
}
_PROXIED = "haproxy:"
_PATTERNS = {
    "backlog": re.compile(r"[1-9][0-9]{0,5}", re.ASCII),
    "timeout": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
    "mode": re.compile(r"[0-7]{3,4}", re.ASCII),
    "lockfile": re.compile(r"[01]"),
    "index": re.compile(r"[0-9]{1,4}", re.ASCII),
    "domain": re.compile(r"INET|INET6|UNIX"),
}


def parse(description: str) -> EndpointString:
    """Take an endpoint string apart, as Twisted does: colons separate, a backslash escapes.

    Host and port are among the ``args`` even where they were written as ``host=`` and ``port=``.
    """
    if description.startswith(_PROXIED):
        return evolve(_parse(description.removeprefix(_PROXIED)), proxied=True)
    return _parse(description)


def _parse(description: str) -> EndpointString:
    args: list[str] = []
    options: dict[str, str] = {}
    for piece in _split(description):
        key, equals, value = piece.partition("=")
        if equals and re.fullmatch(r"[A-Za-z]\w*", key):
            options[key] = _ESCAPED.sub(r"\1", value)
        else:
            args.append(_ESCAPED.sub(r"\1", piece))
    kind, places = (args[0] if args else ""), tuple(args[1:])
    for names in (("host", "port"), ("port",), ("address",), ("path",)):
        if not places and kind in LISTEN_KINDS | CLIENT_KINDS and all(name in options for name in names):
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


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _right(endpoint: EndpointString, kinds: Mapping[str, _Kind]) -> bool:
    kind = kinds.get(endpoint.kind)
    if kind is None or len(endpoint.args) > len(kind.places):
        return False
    given = dict(zip(kind.places, endpoint.args, strict=False)) | dict(endpoint.options)
    return _fits(endpoint.kind, kind, given) and _port_fits(kind, given)


def _fits(name: str, kind: _Kind, given: Mapping[str, str]) -> bool:
    if set(given) - set(kind.places) - set(kind.options) or not all(given.get(p) for p in kind.places[: kind.needed]):
        return False
    if any(not pattern.fullmatch(given[key]) for key, pattern in _PATTERNS.items() if key in given):
        return False
    if name == "ssl" and kind.places[0] == "port":
        return bool(given.get("privateKey"))  # Twisted would take server.pem of whatever folder it was started in
    if name == "systemd":
        return ("index" in given) != bool(given.get("name"))
    inner = given.get("endpoint")
    return inner is None or _right(parse(inner), {key: CLIENT_KINDS[key] for key in ("tcp", "unix")})


def _port_fits(kind: _Kind, given: Mapping[str, str]) -> bool:
    if "port" not in kind.places:
        return True
    port = given["port"]
    lowest = 1 if "host" in kind.places else 0  # a server may ask for any free port, a client cannot
    return port.isascii() and port.isdigit() and lowest <= int(port) <= _HIGHEST_PORT


def _from_folder(endpoint: EndpointString, kinds: Mapping[str, _Kind], folder: Path) -> EndpointString:
    """The same with every path absolute."""
    kind = kinds[endpoint.kind]

    def whole(name: str, value: str) -> str:
        return str((folder / value).absolute()) if name in kind.paths else value

    return evolve(
        endpoint,
        args=tuple(whole(name, value) for name, value in zip(kind.places, endpoint.args, strict=False)),
        options={key: whole(key, value) for key, value in endpoint.options.items()},
    )


def endpoint(kinds: Mapping[str, _Kind], example: str, *, empty: bool = False, proxied: bool = False) -> Check:
    """The check for an endpoint string; relative paths in it start at the file's folder.

    :param kinds: :data:`SERVER_KINDS`, :data:`LISTEN_KINDS` or :data:`CLIENT_KINDS`.
    :param example: one that is right, for the message.
    :param proxied: whether ``haproxy:`` may stand before it.
    """
    names = ", ".join(f"{kind}:" for kind in kinds) + (f", {_PROXIED} before any" if proxied else "")
    allowed = f"an endpoint string such as {example} (kinds: {names})" + (", or empty" if empty else "")

    def check(value: object, folder: Path) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise InvalidValue(allowed)
        if not value:
            return value
        given = parse(value)
        if not value.isprintable() or (given.proxied and not proxied) or not _right(given, kinds):
            raise InvalidValue(allowed)
        whole = _from_folder(given, kinds, folder)
        return value if whole == given else str(whole)

    return check


server = endpoint(SERVER_KINDS, "tcp:8080:interface=127.0.0.1")
listener = endpoint(LISTEN_KINDS, "tcp:8080", proxied=True)
client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000")
optional_client = endpoint(CLIENT_KINDS, "tcp:127.0.0.1:8000", empty=True)

"""Twisted's endpoint strings, taken apart (twisted.internet.endpoints), and the table of their kinds.

:mod:`lbcompanion.config.endpoint_checks` checks them, :mod:`lbcompanion.endpoints.certificates` reads the files of
those with TLS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import Factory, evolve, frozen

_ESCAPED = re.compile(r"\\(.)")


@frozen
class EndpointString:
    """An endpoint string, taken apart: its kind, what stood in order, what stood as ``key=value``.

    :ivar proxy_protocol: ``haproxy:`` stood before it: each connection begins with a header of the PROXY protocol.
    """

    kind: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = Factory(dict)
    proxy_protocol: bool = False

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.kind in {"ssl", "tls"}

    def __str__(self) -> str:
        pieces = [self.kind, *map(_escaped, self.args)]
        pieces += [f"{key}={_escaped(value)}" for key, value in self.options.items()]
        return (PROXY_PROTOCOL_PREFIX if self.proxy_protocol else "") + ":".join(pieces)


@frozen
class EndpointKind:
    """What a kind takes: the names of its places, of which the first ``required`` must be there, and its options.

    :ivar paths: those of both that name a file; a relative one starts at the configuration's folder.
    """

    positional: tuple[str, ...]
    options: tuple[str, ...] = ()
    required: int = 1
    paths: tuple[str, ...] = ()


#: Where a crawler or an admin listener may be.
SERVER_KINDS = {
    "tcp": EndpointKind(("port",), ("interface", "backlog")),
    "tcp6": EndpointKind(("port",), ("interface", "backlog")),
    "unix": EndpointKind(("address",), ("mode", "backlog", "lockfile"), paths=("address",)),
    "ssl": EndpointKind(
        ("port",),
        ("privateKey", "certKey", "extraCertChain", "interface", "backlog", "dhParameters"),
        paths=("privateKey", "certKey", "extraCertChain", "dhParameters"),
    ),
}
#: Where visitors may be served: further a socket that systemd opened.
LISTEN_KINDS = {**SERVER_KINDS, "systemd": EndpointKind((), ("domain", "index", "name"), required=0)}
CLIENT_KINDS = {
    "tcp": EndpointKind(("host", "port"), ("timeout", "bindAddress"), 2),
    "unix": EndpointKind(("path",), ("timeout", "lockfile"), paths=("path",)),
    "ssl": EndpointKind(
        ("host", "port"),
        ("timeout", "bindAddress", "certKey", "privateKey", "caCertsDir", "hostname"),
        2,
        ("certKey", "privateKey", "caCertsDir"),
    ),
    "tls": EndpointKind(
        ("host", "port"),
        ("timeout", "bindAddress", "certificate", "privateKey", "trustRoots", "endpoint"),
        2,
        ("certificate", "privateKey", "trustRoots"),
    ),
}
#: Stands before a listener whose connections begin with a header of the PROXY protocol.
PROXY_PROTOCOL_PREFIX = "haproxy:"


def parse(description: str) -> EndpointString:
    """Take an endpoint string apart, as Twisted does: colons separate, a backslash escapes.

    Host and port are among the ``args`` even where they were written as ``host=`` and ``port=``.
    """
    if description.startswith(PROXY_PROTOCOL_PREFIX):
        return evolve(_parse(description.removeprefix(PROXY_PROTOCOL_PREFIX)), proxy_protocol=True)
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
    kind, positional = (args[0] if args else ""), tuple(args[1:])
    for names in (("host", "port"), ("port",), ("address",), ("path",)):
        if not positional and kind in LISTEN_KINDS | CLIENT_KINDS and all(name in options for name in names):
            positional = tuple(options.pop(name) for name in names)
    return EndpointString(kind, positional, options)


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

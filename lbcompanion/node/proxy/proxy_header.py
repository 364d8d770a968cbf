"""The PROXY protocol's header, versions 1 and 2, read without I/O.

Source: HAProxy's ``doc/proxy-protocol.txt``, sections 2.1 (version 1), 2.2 (version 2), 2.2.6 (PP2_TYPE_SSL).
A header may arrive in any pieces: :func:`read_proxy_header` takes all bytes received so far. (Twisted's own parser
refuses a version 2 header whose first piece is shorter than 16 bytes: twisted issue 8287.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from lbcompanion.errors import CompanionError
from lbcompanion.http1.ip_addresses import unmapped

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
#: A line of version 1 with its CRLF: no valid one is longer.
MAX_LINE = 107
_V1 = b"PROXY "
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_HIGHEST_PORT = 65535

_LOCAL, _PROXY = 0x0, 0x1
_TCP4, _TCP6 = 0x11, 0x21
#: Transport and family, and how many bytes their addresses take; all are valid, but only TCP names a client.
_ADDRESS_BYTES = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
_TYPE_SSL = 0x20
_CLIENT_SSL = 0x01


class BadProxyHeader(CompanionError):
    """The bytes are not a PROXY header; the connection has to be closed (section 2)."""


@frozen
class ProxyHeader:
    """A parsed PROXY header.

    :ivar size: the header's length in bytes; what follows belongs to the visitor.
    :ivar source: the visitor's address and port; None if the header names none (LOCAL, UNKNOWN, UNSPEC, a unix
        socket, datagrams): the connection then counts as the balancer's own.
    :ivar encrypted: whether the visitor spoke TLS to the balancer; None if the header does not say.
    """

    size: int
    source: tuple[str, int] | None = None
    encrypted: bool | None = None


def read_proxy_header(buffer: bytes) -> ProxyHeader | None:
    """Parse the header at the start of a connection.

    :returns: None if more bytes are needed; never with :data:`MAX_LINE` bytes of version 1, or with the
        length that version 2 announces.
    :raises BadProxyHeader: as soon as the bytes cannot be a valid header.
    """
    if buffer[:1] == SIGNATURE[:1]:
        return _read_binary(buffer)
    return _read_line(buffer)


def _read_line(buffer: bytes) -> ProxyHeader | None:
    start = buffer[: len(_V1)]
    if start != _V1[: len(start)]:
        raise BadProxyHeader("no PROXY header")
    line, feed, _ = buffer[:MAX_LINE].partition(b"\n")
    if not feed:
        if len(buffer) >= MAX_LINE:
            raise BadProxyHeader("a PROXY line without an end")
        return None
    if not line.endswith(b"\r") or len(start) < len(_V1):
        raise BadProxyHeader("a PROXY line that does not end with CRLF")
    size = len(line) + 1
    words = line[len(_V1) : -1].decode("latin-1").split(" ")
    if words[0] == "UNKNOWN":
        return ProxyHeader(size)
    if words[0] not in {"TCP4", "TCP6"} or len(words) != 5:
        raise BadProxyHeader("a PROXY line of no known form")
    addresses = [_address(word, words[0]) for word in words[1:3]]
    ports = [_port(word) for word in words[3:5]]
    return ProxyHeader(size, (addresses[0], ports[0]))


def _address(word: str, family: str) -> str:
    try:
        return str(unmapped(IPv4Address(word) if family == "TCP4" else IPv6Address(_without_scope(word))))
    except ValueError:
        raise BadProxyHeader("a PROXY line with a wrong address") from None


def _without_scope(word: str) -> str:
    if "%" in word:
        raise ValueError("no scope has a place here")
    return word


def _port(word: str) -> int:
    if not _PORT.fullmatch(word) or int(word) > _HIGHEST_PORT:
        raise BadProxyHeader("a PROXY line with a wrong port")
    return int(word)


def _read_binary(buffer: bytes) -> ProxyHeader | None:
    start = buffer[: len(SIGNATURE)]
    if start != SIGNATURE[: len(start)]:
        raise BadProxyHeader("no PROXY header")
    if len(buffer) > len(SIGNATURE) and buffer[12] not in {0x20 | _LOCAL, 0x20 | _PROXY}:
        raise BadProxyHeader("a PROXY header of an unknown version or command")
    if len(buffer) < _FIXED:
        return None
    local = buffer[12] & 0x0F == _LOCAL
    family = buffer[13]
    length = int.from_bytes(buffer[14:16], "big")
    addresses = _ADDRESS_BYTES.get(family)
    if not local and (addresses is None or length < addresses):
        # For LOCAL family and addresses are to be ignored, whatever they are (section 2.2).
        raise BadProxyHeader("a PROXY header with a wrong family or too short for it")
    size = _FIXED + length
    if len(buffer) < size:
        return None
    if local:
        return ProxyHeader(size)
    body = buffer[_FIXED:size]
    encrypted = _encrypted(body[addresses or 0 :])
    return ProxyHeader(size, _source(family, body), encrypted)


def _source(family: int, body: bytes) -> tuple[str, int] | None:
    if family == _TCP4:
        return str(IPv4Address(body[0:4])), int.from_bytes(body[8:10], "big")
    if family == _TCP6:
        return str(unmapped(IPv6Address(body[0:16]))), int.from_bytes(body[32:34], "big")
    return None


def _encrypted(vectors: bytes) -> bool | None:
    encrypted = None
    for kind, value in _vectors(vectors):
        if kind == _TYPE_SSL:
            if len(value) < 5:
                raise BadProxyHeader("a PROXY header with a broken PP2_TYPE_SSL")
            encrypted = bool(value[0] & _CLIENT_SSL)
    return encrypted


def _vectors(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        end = at + 3 + length
        if end > len(data):
            raise BadProxyHeader("a PROXY header whose vectors run over its end")
        yield data[at], data[at + 3 : end]
        at = end

"""The visitor's address, scheme and host: by the connection, or by the forwarding fields of trusted proxies.

Forwarding fields count only if the peer is one of ``trusted_proxies``: any other client can forge them. They are lists,
in one line or several, to which each proxy appends; docs/configuration.rst says which member counts. A text of a
visitor becomes part of a URL only as a valid host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.http1.field_lines import FORWARDED
from lbcompanion.http1.heads import RequestHead
from lbcompanion.http1.ip_addresses import unmapped
from lbcompanion.settings import Networks

#: The schemes in X-Forwarded-Proto; some proxies send those of WebSocket.
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: The fields of trusted proxies that name a host.
_HOST_FIELDS = (b"x-forwarded-host", b"x-forwarded-port", b"forwarded")
# A DNS name has at most 253 characters (RFC 1035 section 2.3.4), with a final dot 254; then a port.
_MAX_HOST_BYTES = 260
# Names contain letters, digits, hyphens and, in practice, underscores. Of RFC 3986's other characters, some would be
# syntax in a policy, in HTML or in a URL.
_HOST = re.compile(
    rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
    rb"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?)(?::([0-9]{0,5}))?"
)
_PORT = re.compile(rb":[0-9]+\Z")
_FORWARDED_PAIR = re.compile(
    rb"[ \t]*(?:[;,][ \t]*)*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"(?:[^\"\\]|\\.)*\"|[^ \t;,\"]*)[ \t]*(?=[;,]|\Z)",
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_MEMBER_ADDRESS = re.compile(
    rb"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)(?:%[0-9A-Za-z._-]{1,32})?"
)
_MAX_KNOWN_PEERS = 8192
# A visitor's own fields may be part of these lists. Real ones have a few members.
_MAX_MEMBERS = 32
_MAX_READ_BYTES = 1024


class TrustedProxies:
    """The networks of ``trusted_proxies``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: BoundedCache[str, bool] = BoundedCache(
            max_entries=_MAX_KNOWN_PEERS, max_bytes=1048576, max_key_bytes=256
        )

    def trusts(self, peer: str) -> bool:
        """Whether an address belongs to a trusted proxy; the peer of a unix socket (empty) does.

        :param peer: an IP address as text, with or without a zone.
        """
        cached = self._known.get(peer)
        if cached is None:
            cached = self._known.put(peer, is_listed(peer, self._networks) if peer else True)
        return cached


def is_listed(address: str, networks: Networks) -> bool:
    """Whether an address is in one of the networks; False for text that is not an IP address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def scheme_of(head: RequestHead, *, trusted: bool, own: str) -> str:
    """``http`` or ``https``: the scheme that the browser used, as far as the companion knows it.

    A trusted proxy says it in X-Forwarded-Proto, or in Forwarded (RFC 7239). The first known scheme counts: it is the
    one of the proxy that is next to the browser.

    :param own: the scheme of the connection to the companion.
    """
    if trusted and head.flags & FORWARDED:
        value = head.values.get(b"x-forwarded-proto")
        if value is not None:
            known = _SCHEMES.get(value)
            if known is not None:
                return known
            for member in _members(value):
                if (known := _SCHEMES.get(member.lower())) is not None:
                    return known
        for member in _forwarded(head, b"proto"):
            if (known := _SCHEMES.get(member.lower())) is not None:
                return known
    return own


def normal_host(host: bytes, scheme: str) -> str:
    """A valid host in the form of a URL's origin: in lower case, without the scheme's default port.

    :param host: a name, an IPv4 address, or an IPv6 address in brackets; each with or without a port.
    :return: empty if it is not a valid host.
    """
    found = _HOST.fullmatch(host[:_MAX_HOST_BYTES]) if len(host) <= _MAX_HOST_BYTES else None
    if found is None:
        return ""
    name, digits = found[1].decode().lower(), found[2]
    if not _is_address_or_name(name):
        return ""
    if not digits:
        return name
    port = int(digits)
    if not 0 < port < 65536:
        return ""
    return name if port == _DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def _is_address_or_name(name: str) -> bool:
    if name.startswith("["):
        return _is_ip(name[1:-1], 6)
    # Browsers read a name whose last label is a number as an IPv4 address (URL Standard, "ends in a number").
    return not name.rstrip(".").rpartition(".")[2].isdigit() or _is_ip(name, 4)


def _is_ip(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version and "%" not in text
    except ValueError:
        return False


class PublicOrigin:
    """The origin of the site as the browser addresses it, per request.

    It is ``public_origin`` if that is set. Otherwise its host is the first valid host of these: the members of
    X-Forwarded-Host and the ``host`` parameters of Forwarded, both from trusted proxies only, and the Host field.

    :param configured: ``[node] public_origin``; empty if it is not set.
    """

    def __init__(self, configured: str) -> None:
        self._configured = configured.rstrip("/")
        self._configured_host = self._configured.partition("://")[2]
        self._cached: BoundedCache[tuple[bytes | str | None, ...], str] = BoundedCache()

    def of(self, head: RequestHead, *, trusted: bool, scheme: str) -> str:
        """The origin of a request; empty if nothing names a valid host.

        :param scheme: the result of :func:`scheme_of`.
        """
        if self._configured:
            return self._configured
        values = head.values
        key: tuple[bytes | str | None, ...] = (scheme, values.get(b"host"))
        if trusted and head.flags & FORWARDED:
            key += tuple(map(values.get, _HOST_FIELDS))
        origin = self._cached.get(key)
        if origin is None:
            host = next(_valid_hosts(head, trusted=trusted, scheme=scheme), "")
            origin = self._cached.put(key, f"{scheme}://{host}" if host else "")
        return origin

    def authorities(self, head: RequestHead, *, trusted: bool) -> list[str]:
        """The authorities to which the client may have sent the request, for the check of its signature.

        A balancer may replace Host. The original is then in X-Forwarded-Host or Forwarded of a trusted proxy, or it is
        the authority of ``public_origin``.
        """
        host = (head.values.get(b"host") or b"").decode("latin-1").lower()
        found = [host, *_valid_hosts(head, trusted=trusted, scheme="")] if trusted else [host]
        if self._configured_host:
            found.append(self._configured_host)
        return list(dict.fromkeys(found))

    def is_own(self, origin: bytes, head: RequestHead, *, trusted: bool) -> bool:
        """Whether an ``Origin`` field (RFC 6454) names the host of this request."""
        scheme, _, host = origin.partition(b"://")
        name = scheme.decode("latin-1").lower()
        own = {normal_host(text.encode("latin-1"), name) for text in self.authorities(head, trusted=trusted)}
        normal = normal_host(host, name)
        return bool(normal) and normal in own

    @property
    def is_configured(self) -> bool:
        """Whether ``public_origin`` is set."""
        return bool(self._configured)


def _valid_hosts(head: RequestHead, *, trusted: bool, scheme: str) -> Iterator[str]:
    """The valid hosts in a request, the most reliable first."""
    if trusted and head.flags & FORWARDED:
        values = head.values
        port = _forwarded_port(values.get(b"x-forwarded-port"))
        for member in _members(values.get(b"x-forwarded-host", b"")):
            if host := normal_host(member, scheme):
                if port and not _PORT.search(member) and (with_port := normal_host(member + port, scheme)):
                    yield with_port
                yield host
                break
        for member in _forwarded(head, b"host"):
            if host := normal_host(member, scheme):
                yield host
                break
    if host := normal_host(head.values.get(b"host") or b"", scheme):
        yield host


def _forwarded_port(value: bytes | None) -> bytes:
    """``:PORT`` from X-Forwarded-Port; empty for the default ports.

    Behind several proxies the field often contains the default port of the other scheme.
    """
    first = value.partition(b",")[0].strip() if value is not None else b""
    return b":" + first if first.isdigit() and first not in {b"80", b"443"} else b""


def _members(value: bytes) -> Iterator[bytes]:
    """The members of a list (RFC 9110 section 5.6.1), without empty ones and without quotes."""
    parts = value[:_MAX_READ_BYTES].split(b",", _MAX_MEMBERS)[:_MAX_MEMBERS]
    return (stripped for part in parts if (stripped := part.strip(b' \t"')))


def _forwarded(head: RequestHead, name: bytes) -> Iterator[bytes]:
    """The values of one parameter of Forwarded (RFC 7239 section 4), from the browser's side on.

    Reading stops at the first syntax error, since the rest could be read in two ways.
    """
    value = head.values.get(b"forwarded", b"")[:_MAX_READ_BYTES]
    position = 0
    while value and (pair := _FORWARDED_PAIR.match(value, position)):
        position = pair.end()
        if pair[1].lower() == name:
            text = pair[2]
            yield _QUOTED_PAIR.sub(rb"\1", text[1:-1]) if text.startswith(b'"') else text


def address_of(head: RequestHead, peer: str, field: bytes, trusts: Callable[[str], bool]) -> str:
    """The client's address from a field to which each proxy appends the address of its peer (X-Forwarded-For).

    :param peer: the trusted proxy's address, the answer where the field is missing.
    :param field: the field's name in lower case; ``forwarded`` is read by the syntax of RFC 7239.
    :return: the last address that is not a trusted proxy, the first one if all are, or ``unknown`` if the proxy
        received the request from something that is not an IP address.
    """
    if field == b"forwarded":
        members = _forwarded_addresses(head.values.get(b"forwarded", b""))
    else:
        # Each proxy appends to the end, so that the last members count.
        value = b",".join(head.all(field))
        parts = value.rsplit(b",", _MAX_MEMBERS)[-_MAX_MEMBERS:]
        members = [member for part in parts if (member := part.strip(b' \t"'))]
    address = peer
    for member in reversed(members):
        address = _ip_of(member)
        if not address or not trusts(address):
            return address or "unknown"
    return address


def _forwarded_addresses(value: bytes) -> list[bytes]:
    """The ``for`` parameter of each element of Forwarded; empty for an element without one.

    Each proxy appends an element. Behind a syntax error, or in a field that is too long, a visitor could hide the
    element of the proxy, so that his own would be the last: then only an empty one is returned.
    """
    elements: list[bytes] = []
    position, is_new = 0, True
    while pair := _FORWARDED_PAIR.match(value, position):
        if is_new:
            elements.append(b"")
        if pair[1].lower() == b"for":
            text = pair[2]
            elements[-1] = _QUOTED_PAIR.sub(rb"\1", text[1:-1]) if text.startswith(b'"') else text
        position = pair.end()
        is_new = value[position : position + 1] == b","
    is_whole = position == len(value) and len(value) <= _MAX_READ_BYTES
    return elements if is_whole else [b""]


def client_address(head: RequestHead, peer: str, trusts: Callable[[str], bool], *, trusted: bool) -> str:
    """The client's address: the peer's, or that in X-Forwarded-For, else Forwarded, of a trusted proxy."""
    if not trusted or not head.flags & FORWARDED:
        return peer
    field = b"x-forwarded-for" if b"x-forwarded-for" in head.values else b"forwarded"
    return address_of(head, peer, field, trusts)


def _ip_of(member: bytes) -> str:
    """The IP address in a member such as ``192.0.2.1:4711`` or ``[2001:db8::1]:4711``; empty if it has none."""
    found = _MEMBER_ADDRESS.fullmatch(member)
    address = (found[1] or found[2] or found[3]).decode() if found else ""
    if _is_ip(address, 6):
        plain = unmapped(ip_address(address))
        return address if plain.version == 6 else str(plain)
    return address if _is_ip(address, 4) else ""


def forwarding_lines(addresses: bytes, scheme: bytes, host: bytes | None) -> bytes:
    """The X-Forwarded-For, -Proto and -Host lines for the application."""
    lines = b"X-Forwarded-For: %b\r\n" % addresses if addresses else b""
    lines += b"X-Forwarded-Proto: %b\r\n" % scheme
    return lines if host is None else lines + b"X-Forwarded-Host: %b\r\n" % host


def appended_forwarding_lines(head: RequestHead, peer: str, scheme: str, *, trusted: bool) -> bytes:
    """These lines for a request that has some already: the peer is appended to X-Forwarded-For; -Proto and -Host of a
    trusted proxy are kept."""
    values = head.values
    proto = values.get(b"x-forwarded-proto") if trusted else None
    host = values.get(b"x-forwarded-host") if trusted else None
    return forwarding_lines(
        b", ".join(part for part in (values.get(b"x-forwarded-for"), peer.encode()) if part),
        proto if proto is not None else scheme.encode(),
        host if host is not None else values.get(b"host"),
    )

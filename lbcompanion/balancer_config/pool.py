"""The balancer's view of the nodes, collected from the nodes' files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import frozen

from lbcompanion.endpoints.strings import parse
from lbcompanion.errors import ConfigError
from lbcompanion.settings import CrawlerSettings, LimitsTable, NodeSettings
from lbcompanion.sticky.cookies import is_pattern

LOOPBACK = "127.0.0.1"
_LISTEN_ALLOWED = "a tcp: listener with a port, such as tcp:8080:interface=10.0.0.1, for the balancer to connect to"
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", re.ASCII)
#: RFC 6265 section 4.1.1, without characters that are syntax in one of the five products.
_COOKIE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@frozen
class Member:
    """One node.

    :ivar name: the node's name.
    :ivar host: the companion's host for the balancer: a name or an address, IPv6 without brackets.
    :ivar port: the companion's port for the balancer.
    :ivar guessed: whether the host is a guess, which the user must check.
    :ivar check_host: the host of the admin listener.
    :ivar check_port: the port of the admin listener; 0 if the balancer cannot reach it.
    """

    name: str
    host: str
    port: int
    guessed: bool = False
    check_host: str = ""
    check_port: int = 0

    @property
    def address(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return joined(self.host, self.port)

    @property
    def has_address(self) -> bool:
        """Whether ``host`` is an IP address, not a name."""
        return is_address(self.host)


@frozen
class Pool:
    """The nodes, and their common settings.

    :ivar members: the nodes.
    :ivar cookie: the sticky cookie's name; empty means the product's default.
    :ivar listen_host: the balancer's address; empty means all addresses.
    :ivar listen_port: the balancer's port.
    :ivar prefix: the path prefix of the companions' own resources.
    :ivar first_byte_seconds: how long a node may take until the first byte of its answer.
    :ivar idle_seconds: how long a companion keeps an idle connection open.
    """

    members: tuple[Member, ...]
    cookie: str = ""
    listen_host: str = ""
    listen_port: int = 80
    prefix: str = "/_lbc"
    first_byte_seconds: int = 60
    idle_seconds: int = 75

    @property
    def readyz_is_reachable(self) -> bool:
        """Whether the balancer can reach every node's ``/readyz``."""
        return all(member.check_port for member in self.members)

    @property
    def keep_seconds(self) -> int:
        """How long the balancer may keep an idle connection to a companion: less than the companion, so that no
        request meets a connection that is being closed."""
        return max(1, self.idle_seconds - 15)

    @property
    def answer_seconds(self) -> int:
        """How long the balancer waits for an answer: longer than the companion, which then reports the error."""
        return self.first_byte_seconds + 5

    @property
    def names(self) -> str:
        """The nodes' names, for a comment."""
        return ", ".join(member.name for member in self.members)


def joined(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def pool_of(
    files: Sequence[tuple[str, NodeSettings]],
    listen: tuple[str, int],
    addresses: Mapping[str, str] | None = None,
    crawlers: Iterable[CrawlerSettings] = (),
) -> Pool:
    """Make a pool of the nodes' files.

    :param files: the name and the settings of each file.
    :param listen: host (empty for all) and port of the balancer.
    :param addresses: node name to ``host`` or ``host:port``; overrides the files.
    :param crawlers: settings of crawlers, which may contain addresses of nodes.
    :raises ConfigError: if a balancer cannot reach any listener of a node, or two nodes have the same name.
    """
    nodes = [settings for _, settings in files]
    hints = _addresses_from_crawlers(crawlers) | _addresses_from_peers(nodes)
    configured = addresses or {}
    file_of: dict[str, str] = {}
    members = []
    for file, settings in files:
        name = settings.node.name
        if name in file_of:
            raise ConfigError(file, "node.name", name, f"a name for each node; {file_of[name]} has this one")
        file_of[name] = file
        hint = hints.get(name) or _netloc(settings.node.direct_origin)
        members.append(_member(file, settings, configured.get(name, ""), hint))
    if unknown := set(configured) - set(file_of):
        raise ConfigError("--address", "", ", ".join(sorted(unknown)), f"one of the nodes: {', '.join(file_of)}")
    first = nodes[0]
    return Pool(
        members=tuple(_with_guessed_hosts(members)),
        cookie=_cookie(nodes),
        listen_host=listen[0],
        listen_port=listen[1],
        prefix=first.node.prefix,
        first_byte_seconds=int(max(_first_byte_seconds(settings.limits) for settings in nodes)),
        idle_seconds=int(min(settings.limits.idle_seconds for settings in nodes)),
    )


def _first_byte_seconds(limits: LimitsTable) -> float:
    """How long a node may take until its first byte, including the queue of ``upstream_connections``."""
    return limits.upstream_seconds + (limits.upstream_queue_seconds if limits.upstream_connections else 0)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_wildcard(host: str) -> bool:
    """Whether a listener's interface means all addresses."""
    return host in ("", "0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _addresses_from_peers(nodes: Iterable[NodeSettings]) -> dict[str, str]:
    """Return the nodes' addresses in the other nodes' ``[peers]``."""
    return {name: netloc for settings in nodes for name, url in settings.peers.items() if (netloc := _netloc(url))}


def _addresses_from_crawlers(crawlers: Iterable[CrawlerSettings]) -> dict[str, str]:
    """Return the nodes' addresses in crawlers' files: ``address`` (the balancer's), or ``direct``."""
    known = [pair for settings in crawlers for site in settings.sites.values() for pair in site.nodes.items()]
    return {name: configured for name, node in known if (configured := _address(node.address) or _netloc(node.direct))}


def _address(text: str) -> str:
    """Return ``host:port`` of an ``address`` or origin; empty for other forms of node identifiers."""
    return text if _HOST_AND_PORT.fullmatch(text) else _netloc(text)


def _netloc(url: str) -> str:
    """Return ``host:port`` of an http origin; empty for any other URL."""
    parts = urlsplit(url)
    return joined(parts.hostname, parts.port or 80) if parts.scheme == "http" and parts.hostname else ""


def _listener(file: str, listen: Iterable[str]) -> tuple[str, int]:
    """Return interface and port of the first listener that a balancer can connect to."""
    for text in listen:
        endpoint = parse(text)
        if endpoint.kind in ("tcp", "tcp6") and not endpoint.proxy_protocol and endpoint.args[0] != "0":
            return endpoint.options.get("interface", ""), int(endpoint.args[0])
    raise ConfigError(file, "node.listen", ", ".join(listen), _LISTEN_ALLOWED)


def _member(file: str, settings: NodeSettings, configured: str, hint: str) -> Member:
    host, port = _listener(file, settings.node.listen)
    if configured or (hint and is_wildcard(host)):
        parts = urlsplit(f"//{configured or hint}")
        host, port = parts.hostname or "", parts.port or port
    return _with_check(Member(settings.node.name, "" if is_wildcard(host) else host, port), settings.node.admin)


def _with_check(member: Member, admin: str) -> Member:
    endpoint = parse(admin)
    if endpoint.kind not in ("tcp", "tcp6") or not endpoint.args or endpoint.args[0] == "0":
        return member
    interface, port = endpoint.options.get("interface", ""), int(endpoint.args[0])
    if is_loopback(interface) and member.host and not is_loopback(member.host):
        return member
    host = member.host if is_wildcard(interface) else interface
    return Member(member.name, member.host, member.port, False, host, port)


def _with_guessed_hosts(members: Sequence[Member]) -> list[Member]:
    """Guess the missing hosts: this machine if all ports differ, else the nodes' names."""
    ports = [member.port for member in members]
    ports_differ = len(set(ports)) == len(ports)
    completed = []
    for member in members:
        if member.host:
            completed.append(member)
            continue
        host = LOOPBACK if ports_differ else member.name
        check = member.check_port if ports_differ or not is_loopback(member.check_host) else 0
        completed.append(
            Member(member.name, host, member.port, True, member.check_host or host if check else "", check)
        )
    return completed


def _cookie(nodes: Iterable[NodeSettings]) -> str:
    plain = (
        name
        for settings in nodes
        for name in settings.sticky.cookies
        if not is_pattern(name) and _COOKIE.fullmatch(name)
    )
    return next(plain, "")

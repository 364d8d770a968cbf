"""What a balancer has to know of the nodes, gathered from the nodes' own files."""

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
#: RFC 6265 section 4.1.1, less what one of the five could take for its own syntax.
_COOKIE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@frozen
class Member:
    """One node.

    :ivar host: where the balancer finds its companion; a name or an address, IPv6 without brackets.
    :ivar guessed: whether nothing said so, and the host must be looked at by the reader.
    :ivar check_host: where its admin listener is.
    :ivar check_port: its port; 0 where the balancer could not reach it.
    """

    name: str
    host: str
    port: int
    guessed: bool = False
    check_host: str = ""
    check_port: int = 0

    @property
    def address(self) -> str:
        """``host:port``, with brackets where they are needed."""
        return joined(self.host, self.port)

    @property
    def has_address(self) -> bool:
        """Whether ``host`` is an IP address, not a name."""
        return is_address(self.host)


@frozen
class Pool:
    """The nodes, and what holds for all of them.

    :ivar cookie: the sticky cookie's name; empty: the product's own.
    :ivar listen_host: empty: all addresses.
    :ivar prefix: where the companions' own paths are.
    :ivar first_byte_seconds: how long a node may take until it answers.
    :ivar idle_seconds: how long a companion keeps a connection open on which nothing comes.
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
        """How long the balancer may keep an idle connection to a companion: less than the companion does, or a
        request would now and then meet a connection that is just being closed."""
        return max(1, self.idle_seconds - 15)

    @property
    def answer_seconds(self) -> int:
        """How long the balancer waits for an answer: longer than the companion, which can say what is wrong."""
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
    """Gather a pool from the nodes' files.

    :param files: each with its name, for messages.
    :param listen: host (empty: all) and port of the balancer.
    :param addresses: node to ``host`` or ``host:port``, where the reader knows better than the files.
    :param crawlers: crawlers' files, which may say where nodes are.
    :raises ConfigError: where a node cannot be reached by what its file says, or two have one name.
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
    """How long a node may take until it answers: with a cap, its queue comes before the application."""
    return limits.upstream_seconds + (limits.upstream_queue_seconds if limits.upstream_connections else 0)


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_wildcard(host: str) -> bool:
    """Whether a listener's interface is all addresses."""
    return host in ("", "0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _addresses_from_peers(nodes: Iterable[NodeSettings]) -> dict[str, str]:
    """Where the other nodes say that a node's companion is."""
    return {name: netloc for settings in nodes for name, url in settings.peers.items() if (netloc := _netloc(url))}


def _addresses_from_crawlers(crawlers: Iterable[CrawlerSettings]) -> dict[str, str]:
    """Where crawlers say that the nodes are: as the balancer has them, or directly."""
    known = [pair for settings in crawlers for site in settings.sites.values() for pair in site.nodes.items()]
    return {name: configured for name, node in known if (configured := _address(node.address) or _netloc(node.direct))}


def _address(text: str) -> str:
    """A ``host:port`` or an origin; empty for what some balancers have instead."""
    return text if _HOST_AND_PORT.fullmatch(text) else _netloc(text)


def _netloc(url: str) -> str:
    """``host:port`` of a plain origin; empty for any other."""
    parts = urlsplit(url)
    return joined(parts.hostname, parts.port or 80) if parts.scheme == "http" and parts.hostname else ""


def _listener(file: str, listen: Iterable[str]) -> tuple[str, int]:
    """Interface and port of the first listener that a balancer can connect to."""
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
    """Fill in what nobody told: nodes with ports of their own may share this machine, others bear their names."""
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

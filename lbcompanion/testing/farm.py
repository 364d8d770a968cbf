"""A whole farm in memory: real companions, a real crawler, a balancer that sticks by a model, an application that
keeps a ledger, visitors. Everything is real but the network, the clock and the balancer.

Nothing happens by itself: see :mod:`lbcompanion.testing.network`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, execute

from lbcompanion.crawler.service import CrawlerService
from lbcompanion.crawler.threads import Threads
from lbcompanion.model import DEFAULT_LADDER, RouteKind, Verdict
from lbcompanion.node.service import NodeService
from lbcompanion.settings import (
    CrawlerSettings,
    CrawlerTable,
    KnownNode,
    LimitsTable,
    NodeCrawlerTable,
    NodeSettings,
    NodeTable,
    SiteSettings,
    StickyTable,
    StoreTable,
)
from lbcompanion.testing.application import CSRF_COOKIE, ApplicationLog, application
from lbcompanion.testing.balancer import InMemoryBalancer
from lbcompanion.testing.balancer_models import BalancerModel, CookieInsertion, NoStickiness, StickTable
from lbcompanion.testing.balancer_products import haproxy_prefix, haproxy_tiers
from lbcompanion.testing.network import Host, MemoryNetwork

SECRET = b"the farm's secret, for tests only"
SITE = "www.example.com"
ORIGIN = f"http://{SITE}"
INTAKE = "http://crawler:9200"
_BALANCER = "10.0.0.100"


@frozen
class FarmKind:
    """One sort of farm.

    :ivar model: makes the balancer's model.
    :ivar sticky: the ``[sticky]`` settings of nodes and crawler.
    :ivar peers: whether the nodes know each other's addresses.
    :ivar session_routes: whether it is the session itself that routes, and the operator allowed to record it.
    :ivar direct: whether the crawler knows each node's own address.
    :ivar ladder: the crawler's.
    """

    model: Callable[[], BalancerModel]
    sticky: StickyTable = field(factory=StickyTable)
    peers: bool = False
    session_routes: bool = False
    direct: bool = False
    ladder: tuple[str, ...] = DEFAULT_LADDER


#: By name: HAProxy's cookie insertion as it is mostly written, the same hidden from scripts and nodes, a balancer of
#: no known kind, one that sticks not at all, one that remembers sessions in a table of its own (of its three forms, the
#: crawler of the second one knows the nodes' addresses, and prefers the visitor's cookie; that of the third one fetches
#: by the visitor's cookie), one that writes into a cookie of the application's, and one before two others.
KINDS: Mapping[str, FarmKind] = {
    "insert": FarmKind(CookieInsertion, StickyTable(cookies=("SRV",))),
    "indirect": FarmKind(
        lambda: CookieInsertion(indirect=True, attributes="; path=/; HttpOnly"),
        StickyTable(dialect="haproxy-insert", cookies=("SRV",)),
    ),
    "opaque": FarmKind(
        lambda: CookieInsertion("where", values={"n1": "rack-4/7:a1", "n2": "rack-4/8:b2", "n3": "rack-5/1:c3"}),
        StickyTable(cookies=("where",)),
    ),
    "prefix": FarmKind(lambda: haproxy_prefix(CSRF_COOKIE), StickyTable("haproxy-prefix", cookies=(CSRF_COOKIE,))),
    "tiers": FarmKind(
        lambda: haproxy_tiers({"east": ("n1", "n2"), "west": ("n3",)}),
        StickyTable("haproxy-insert", cookies=("DC", "SRV")),
    ),
    "none": FarmKind(NoStickiness, peers=True),
    "table": FarmKind(
        StickTable, StickyTable("haproxy-table", cookies=("sess",), allow_credentials=("sess",)), session_routes=True
    ),
    "table and addresses": FarmKind(
        StickTable,
        StickyTable("haproxy-table", cookies=("sess",), allow_credentials=("sess",)),
        session_routes=True,
        direct=True,
        ladder=(RouteKind.RECORDED.value, RouteKind.OWN.value, RouteKind.ANY.value),
    ),
    "table and visitors' cookies": FarmKind(
        StickTable,
        StickyTable("haproxy-table", cookies=("sess",), allow_credentials=("sess",)),
        session_routes=True,
        ladder=(RouteKind.ANY.value, RouteKind.RECORDED.value),
    ),
}


class InlineThread:
    """Stands for :class:`lbcompanion.stores.threads.SingleThread`: it does blocking work at once, in the caller."""

    def __init__(self, reactor: Any, name: str = "") -> None:
        self.name = name

    def __call__(self, work: Callable[[], Any], /) -> Deferred[Any]:
        """Do the work."""
        return execute(work)

    def stop(self) -> None:
        """Do nothing: no thread runs."""


class InlineThreads(Threads):
    """Does blocking work at once, in the caller."""

    def __call__(self, call: Callable[..., Any], /, *args: Any) -> Deferred[Any]:
        """Do the work."""
        return execute(call, *args)


class InlineCrawler(CrawlerService):
    """The crawler's service, with the work of its threads done in the caller's turn."""

    threads_class = InlineThreads

    def crash(self) -> None:
        """Release locks and files, as the kernel does for a killed process."""
        self._close()

    def rows(self) -> list[Any]:
        """All recordings, oldest first, as the backlog has them."""
        return self._backlog.recordings(100_000)[::-1]

    def page(self, row: Any) -> bytes:
        """The archived page of a row, as the archive has it."""
        file, offset = row["warc_file"], row["warc_offset"]
        return self._archive.reader.read_page(file, offset, *self._archive.reader.locate(file, offset))


@define
class InMemoryNode:
    """One companion and the machine it runs on.

    :ivar service: the running process, or None.
    """

    name: str
    host: Host
    settings: NodeSettings
    service: NodeService | None = None

    def start(self) -> None:
        """Start the process."""
        host = self.host
        thread: Any = InlineThread
        self.service = NodeService(self.settings, host, None, host.network.now, thread)
        host.network.result_of(self.service.startService())

    def restart(self) -> None:
        """Kill and restart the process: memory is lost, the state directory stays."""
        self.host.crash()
        self.start()


@define
class InMemoryFarm:
    """Nodes, balancer, application, crawler.

    :ivar folder: for state directories and the archive.
    :ivar give_up_after_seconds: the crawler's.
    :ivar max_seconds: how long a copy lives.
    """

    kind: FarmKind
    folder: Path
    names: tuple[str, ...] = ("n1", "n2", "n3")
    give_up_after_seconds: float = 120.0
    max_seconds: float = 300.0
    pull_grace_seconds: float = 30.0
    network: MemoryNetwork = field(factory=MemoryNetwork)
    application_log: ApplicationLog = field(factory=ApplicationLog)
    nodes: dict[str, InMemoryNode] = field(factory=dict)
    crawler: InlineCrawler | None = None
    crawler_starts: int = 0
    rotations: int = 0
    moves: int = 0
    bypassed_nodes: set[str] = field(factory=set)
    visitors: Host = field(init=False)
    untrusted_clients: Host = field(init=False)
    crawlers: Host = field(init=False)
    balancer: InMemoryBalancer = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make all hosts and start everything."""
        network = self.network
        self.visitors = network.host("10.0.9.1", "visitors")
        self.untrusted_clients = network.host("10.0.9.2", "strangers")
        self.crawlers = network.host("10.0.2.1", "crawler")
        self.balancer = InMemoryBalancer(
            network.host(_BALANCER, SITE),
            self.kind.model(),
            {name: (self._address(name), 8080) for name in self.names},
        )
        self.balancer.listen()
        for name in self.names:
            application(name, self.application_log, network.host(f"10.0.1.{self._number(name)}", f"app-{name}"))
            node = self.nodes[name] = InMemoryNode(
                name, network.host(self._address(name), name), self._node_settings(name)
            )
            node.start()
        self.start_crawler()

    def _number(self, name: str) -> int:
        return self.names.index(name) + 1

    def _address(self, name: str) -> str:
        return f"10.0.0.{self._number(name)}"

    def _node_settings(self, name: str) -> NodeSettings:
        others = [other for other in self.names if other != name] if self.kind.peers else []
        return NodeSettings(
            node=NodeTable(
                name=name,
                listen=(f"tcp:8080:interface={self._address(name)}",),
                upstream=f"tcp:app-{name}:8000",
                secret_file=self.folder / "farm.secret",
                secret=SECRET,
                state_dir=self.folder / name,
                admin="",
                trusted_proxies=(IPv4Network(f"{_BALANCER}/32"),),
            ),
            store=StoreTable(max_seconds=self.max_seconds, pull_grace_seconds=self.pull_grace_seconds),
            sticky=self.kind.sticky,
            peers={other: f"http://{other}:8080" for other in others},
            crawler=NodeCrawlerTable(intake=INTAKE),
            limits=LimitsTable(connections=50),
        )

    def _crawler_settings(self) -> CrawlerSettings:
        table = CrawlerTable(
            secret_file=self.folder / "farm.secret",
            secret=SECRET,
            listen="tcp:9200:interface=10.0.2.1",
            admin="tcp:9201:interface=10.0.2.1",
            state_dir=self.folder / "crawler",
            queue=f"sqlite:///{self.folder}/crawler/crawler.db",
            archive_dir=self.folder / "archive",
            give_up_after_seconds=self.give_up_after_seconds,
        )
        known = {name: KnownNode(direct=f"http://{name}:8080") for name in self.names} if self.kind.direct else {}
        site = SiteSettings("main", ORIGIN, sticky=self.kind.sticky, nodes=known, ladder=self.kind.ladder)
        return CrawlerSettings(table, {"main": site})

    # The crawler.

    def start_crawler(self) -> None:
        """Start the crawler on the state of the previous one."""
        self.crawler_starts += 1
        self.crawler = InlineCrawler(self._crawler_settings(), self.crawlers, self.network.now)
        self.network.result_of(self.crawler.startService())

    def kill_crawler(self) -> None:
        """Kill the crawler at once."""
        crawler, self.crawler = self.crawler, None
        self.crawlers.crash()
        if crawler is not None:
            crawler.crash()

    def rows(self) -> list[Any]:
        """Return all rows of the running crawler's backlog."""
        return [] if self.crawler is None else self.crawler.rows()

    # Events at nodes.

    def cut_off(self, name: str, *, noticed: bool = True) -> None:
        """Cut a node off the network.

        :param noticed: whether the balancer notices at once, or only by its next health check.
        """
        self.nodes[name].host.cut_off()
        if noticed:
            self.check_health()

    def reconnect(self, name: str) -> None:
        """Reconnect a node; it has kept its state."""
        self.nodes[name].host.reconnect()
        self.check_health()

    def bypass(self, name: str, *, on: bool) -> bool:
        """Route past a node's companion to its application, or back; return ``on``."""
        self.balancer.nodes[name] = (
            (f"10.0.1.{self._number(name)}", 8000) if on else (self.nodes[name].host.address, 8080)
        )
        (self.bypassed_nodes.add if on else self.bypassed_nodes.discard)(name)
        return on

    def drain(self, name: str, *, on: bool) -> None:
        """Drain a node in the balancer, or end that."""
        (self.balancer.draining.add if on else self.balancer.draining.discard)(name)

    def maintain(self, name: str, *, on: bool) -> None:
        """Set a node into maintenance in the balancer, or end that: the node runs, and gets no request."""
        (self.balancer.maintained.add if on else self.balancer.maintained.discard)(name)

    def rotate(self) -> bool:
        """Change the balancer's cookie values, so that earlier ones are void; False if it sets no cookie."""
        model = self.balancer.model
        if not isinstance(model, CookieInsertion) or not model.sets_cookie:
            return False
        self.rotations += 1
        model.rotate({name: f"{name}-{self.rotations}" for name in self.names})
        return True

    def set_caching(self, *, on: bool) -> None:
        """Put a cache that ignores Cache-Control in front of the balancer, or remove it."""
        self.balancer.caching = on
        self.balancer.cache.clear()

    def move(self, name: str) -> None:
        """Restart a node at another address and update its name."""
        node = self.nodes[name]
        node.host.crash()
        node.host.cut_off()
        self.moves += 1
        address = f"10.0.{3 + self.moves // 200}.{1 + self.moves % 200}"
        table = evolve(node.settings.node, listen=(f"tcp:8080:interface={address}",))
        node.settings = evolve(node.settings, node=table)
        node.host = self.network.host(address, name)
        node.start()
        if name not in self.bypassed_nodes:
            self.balancer.nodes[name] = (address, 8080)
        self.check_health()

    def check_health(self) -> None:
        """Run the balancer's health checks."""
        self.balancer.down = {name for name, node in self.nodes.items() if not node.host.up}

    def close(self) -> None:
        """Close all files."""
        self.kill_crawler()
        for node in self.nodes.values():
            node.host.crash()


def is_archived(row: Any) -> bool:
    """Return whether a row's outcome is archived."""
    return bool(row["outcome"] == Verdict.ARCHIVED.value)

"""The farm: application nodes, companions, balancer and crawler, started together and ended together."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.task import deferLater
from twisted.web.client import ResponseFailed, readBody
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from lbcompanion.demo.application import Shop
from lbcompanion.demo.backends import Backend, HealthChecks, one_shot_agent
from lbcompanion.demo.balancer import Balancer
from lbcompanion.demo.balancer_choice import PROGRAMS
from lbcompanion.demo.balancer_program import find_program
from lbcompanion.demo.children import Child, own_command
from lbcompanion.demo.children import Reactor as ChildReactor
from lbcompanion.demo.configs import COOKIE, DIALECT, SECRET_FILE, FarmPlan, NodePlan, crawler_config, node_config
from lbcompanion.demo.ledger import Ledger
from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from lbcompanion.errors import CompanionError, ConfigError

if TYPE_CHECKING:
    from twisted.internet.protocol import ServerFactory

MAX_NODES = 20
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Reactor(ChildReactor, IReactorTCP):
    """What the farm needs of a reactor."""


class NotReady(CompanionError):
    """A part of the farm did not answer in time."""


def check_counts(nodes: int, visits: int) -> None:
    """See that the farm is one that can be run.

    :raises ConfigError: where a number is out of range.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise ConfigError("command line", "--nodes", str(nodes), f"1 to {MAX_NODES}")
    if visits < 1:
        raise ConfigError("command line", "--visits", str(visits), "1 or more")


class Farm:
    """A whole farm on loopback.

    :param count: how many nodes.
    :param balancer: as :func:`~lbcompanion.demo.balancer_choice.choose_balancer` gives it.
    :param folder: where its files go; whoever made the folder takes it away.
    :param give_up_seconds: when the crawler gives a notice up.
    :param durable: whether copies outlive their node's process.
    """

    def __init__(
        self, count: int, balancer: str, folder: Path, give_up_seconds: int, durable: bool, reactor: Reactor
    ) -> None:
        self.balancer = balancer
        self.ledger = Ledger()
        self._count = count
        self._folder = folder
        self._give_up_seconds = give_up_seconds
        self._durable = durable
        self._shops: list[Shop] = []
        self._reactor = reactor
        self._agent = one_shot_agent(reactor)
        self._ports = ReservedPorts()
        self._listening: list[IListeningPort] = []
        self._nodes: list[Child] = []
        self._others: list[Child] = []
        self._checks: HealthChecks | None = None
        self._ended = False
        self.plan = FarmPlan((), 0, 0, 0)

    @property
    def api(self) -> str:
        """The origin of the crawler's dashboard and JSON API."""
        return f"http://{LOOPBACK}:{self.plan.admin}"

    async def start(self) -> None:
        """Start everything; done when a visitor would be served.

        :raises ChildFailed: where a process ended early.
        :raises NotReady: where a part did not answer within a minute.
        """
        nodes = tuple(self._plan_node(f"n{number}") for number in range(1, self._count + 1))
        dialect = PROGRAMS[self.balancer].dialect if self.balancer in PROGRAMS else DIALECT
        self.plan = FarmPlan(nodes, self._ports.take(), self._ports.take(), self._ports.take(), dialect)
        self._write(SECRET_FILE, secrets.token_urlsafe(32) + "\n", 0o600)
        crawler = self._command("crawler", crawler_config(self.plan, self._give_up_seconds))
        self._others.append(crawler)
        for node in nodes:
            self._nodes.append(self._command("node", node_config(self.plan, node, self._durable), node.name))
        await self._ready(f"{self.api}/healthz", crawler)
        for node, child in zip(nodes, self._nodes, strict=True):
            await self._ready(f"http://{LOOPBACK}:{node.admin}/readyz", child)
        self._start_balancer()
        await self._ready(f"{self.plan.origin}/_lbc/whoami", *self._others)

    async def stop(self) -> None:
        """End everything: the nodes first, so that they can still tell the crawler what they have to tell."""
        self._ended = True
        # The balancer goes on asking meanwhile: a node that sees that it is being left need not wait for long.
        await DeferredList([child.stop() for child in self._nodes])
        if self._checks is not None:
            self._checks.stop()
        await DeferredList([child.stop() for child in self._others])
        stopping = [port.stopListening() for port in self._listening]
        await DeferredList([one for one in stopping if isinstance(one, Deferred)])
        self._ports.release()

    async def stop_node(self, number: int) -> None:
        """End one companion as an operator would (SIGTERM); its visitors move on.

        :param number: counted from 0.
        """
        await self._nodes[number].stop()

    async def start_node(self, number: int, version: str) -> None:
        """Start it again, with a new version of the application, whose sessions are gone."""
        if self._ended:
            return
        self._shops[number].deploy(version)
        self._nodes[number].start()
        await self._ready(f"http://{LOOPBACK}:{self.plan.nodes[number].admin}/readyz", self._nodes[number])

    def _plan_node(self, name: str) -> NodePlan:
        shop = Shop(name, f"{name}-1.0", self.ledger, IReactorTime(self._reactor))
        self._shops.append(shop)
        return NodePlan(name, self._listen(0, shop.site()), self._ports.take(), self._ports.take())

    def _listen(self, port: int, site: Site) -> int:
        # Site's own annotations lag behind those of the reactor's interface.
        listening = self._reactor.listenTCP(port, cast("ServerFactory[Any]", site), interface=LOOPBACK)
        self._listening.append(listening)
        address = listening.getHost()
        return address.port if isinstance(address, IPv4Address) else 0

    def _write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self._folder / name
        path.touch(mode)
        path.write_text(text, "utf-8")
        return path

    def _command(self, what: str, config: str, name: str = "") -> Child:
        label = name or what
        file = self._write(f"{label}.toml", config)
        return self._child(label, own_command(what, "--config", str(file)))

    def _child(self, label: str, command: list[str]) -> Child:
        child = Child(label, command, self._folder / f"{label}.log", self._reactor)
        if self._ended:
            raise NotReady("the farm is ended already")
        child.start()
        return child

    def _start_balancer(self) -> None:
        backends = [
            Backend(node.name, f"{LOOPBACK}:{node.public}", f"{LOOPBACK}:{node.admin}") for node in self.plan.nodes
        ]
        kind = PROGRAMS.get(self.balancer)
        program = find_program(kind.program) if kind is not None else None
        if kind is None or program is None:
            self._listen(self.plan.site, Balancer(backends, self._agent, COOKIE).site())
            self._checks = HealthChecks(backends, self._agent, IReactorTime(self._reactor))
            self._checks.start()
            return
        config = self._write(f"{kind.program}.cfg", kind.configuration(self.plan.site, backends, COOKIE))
        self._others.append(self._child(kind.program, kind.command(program, config)))

    async def _ready(self, url: str, *children: Child) -> None:
        """Wait until a GET is answered with 200."""
        end = self._reactor.seconds() + _READY_SECONDS
        while not await self._answers(url):
            for child in children:
                if child.failed:
                    raise child.complaint()
            if self._reactor.seconds() > end:
                raise children[-1].complaint() if children else NotReady(f"{url} does not answer")
            await deferLater(self._reactor, _POLL_SECONDS)

    async def _answers(self, url: str) -> bool:
        try:
            response = await self._agent.request(b"GET", url.encode(), Headers({}), None)
            await readBody(response)
        except (OSError, ConnectError, ConnectionClosed, ResponseFailed):
            return False
        return bool(response.code == 200)

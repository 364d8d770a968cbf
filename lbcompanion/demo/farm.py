"""The demo's farm: application nodes, companions, balancer and crawler, started and stopped together."""

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
from lbcompanion.demo.balancer import DemoBalancer
from lbcompanion.demo.balancer_choice import PROGRAMS
from lbcompanion.demo.balancer_program import find_program
from lbcompanion.demo.configs import COOKIE, DIALECT, SECRET_FILE, FarmPlan, NodePlan, crawler_config, node_config
from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from lbcompanion.demo.processes import ChildProcess, companion_command
from lbcompanion.demo.processes import Reactor as ChildReactor
from lbcompanion.demo.served_pages import ServedPages
from lbcompanion.errors import CompanionError, ConfigError

if TYPE_CHECKING:
    from twisted.internet.protocol import ServerFactory

MAX_NODES = 20
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Reactor(ChildReactor, IReactorTCP):
    """The reactor interfaces that the farm needs."""


class NotReady(CompanionError):
    """A part of the farm did not answer in time."""


def check_counts(nodes: int, visits: int) -> None:
    """Validate the number of nodes and visits.

    :raises ConfigError: where a number is out of range.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise ConfigError("command line", "--nodes", str(nodes), f"1 to {MAX_NODES}")
    if visits < 1:
        raise ConfigError("command line", "--visits", str(visits), "1 or more")


class DemoFarm:
    """A complete farm on loopback.

    :param node_count: how many nodes.
    :param balancer: as :func:`~lbcompanion.demo.balancer_choice.choose_balancer` gives it.
    :param folder: for its files; the caller creates and removes it.
    :param give_up_seconds: after how long the crawler gives up a notice.
    :param durable: whether copies survive a restart of their node.
    """

    def __init__(
        self, node_count: int, balancer: str, folder: Path, give_up_seconds: int, *, durable: bool, reactor: Reactor
    ) -> None:
        self.balancer = balancer
        self.served_pages = ServedPages()
        self._node_count = node_count
        self._folder = folder
        self._give_up_seconds = give_up_seconds
        self._durable = durable
        self._applications: list[Shop] = []
        self._reactor = reactor
        self._agent = one_shot_agent(reactor)
        self._ports = ReservedPorts()
        self._listeners: list[IListeningPort] = []
        self._node_processes: list[ChildProcess] = []
        self._other_processes: list[ChildProcess] = []
        self._health_checks: HealthChecks | None = None
        self._stopped = False
        self.plan = FarmPlan((), 0, 0, 0)

    @property
    def api_url(self) -> str:
        """The origin of the crawler's dashboard and JSON API."""
        return f"http://{LOOPBACK}:{self.plan.admin_port}"

    async def start(self) -> None:
        """Start everything; returns when the site serves visitors.

        :raises ChildProcessFailed: if a process ended early.
        :raises NotReady: where a part did not answer within a minute.
        """
        nodes = tuple(self._plan_node(f"n{number}") for number in range(1, self._node_count + 1))
        dialect = PROGRAMS[self.balancer].dialect if self.balancer in PROGRAMS else DIALECT
        self.plan = FarmPlan(nodes, self._ports.take(), self._ports.take(), self._ports.take(), dialect)
        self._write(SECRET_FILE, secrets.token_urlsafe(32) + "\n", 0o600)
        crawler = self._start_command("crawler", crawler_config(self.plan, self._give_up_seconds))
        self._other_processes.append(crawler)
        for node in nodes:
            self._node_processes.append(
                self._start_command("node", node_config(self.plan, node, durable=self._durable), node.name)
            )
        await self._wait_ready(f"{self.api_url}/healthz", crawler)
        for node, process in zip(nodes, self._node_processes, strict=True):
            await self._wait_ready(f"http://{LOOPBACK}:{node.admin_port}/readyz", process)
        self._start_balancer()
        await self._wait_ready(f"{self.plan.origin}/_lbc/whoami", *self._other_processes)

    async def stop(self) -> None:
        """Stop everything: the nodes first, so that they can still deliver notices to the crawler."""
        self._stopped = True
        # The balancer still checks the nodes: a node that sees its visitors move on drains faster.
        await DeferredList([process.stop() for process in self._node_processes])
        if self._health_checks is not None:
            self._health_checks.stop()
        await DeferredList([process.stop() for process in self._other_processes])
        stopped_listeners = [port.stopListening() for port in self._listeners]
        await DeferredList(
            [stopped_listener for stopped_listener in stopped_listeners if isinstance(stopped_listener, Deferred)]
        )
        self._ports.release()

    async def stop_node(self, number: int) -> None:
        """Stop one companion by SIGTERM, as an operator would; its visitors move on.

        :param number: counted from 0.
        """
        await self._node_processes[number].stop()

    async def start_node(self, number: int, version: str) -> None:
        """Start a companion again, with a new version of its application; sessions are lost."""
        if self._stopped:
            return
        self._applications[number].deploy(version)
        self._node_processes[number].start()
        await self._wait_ready(
            f"http://{LOOPBACK}:{self.plan.nodes[number].admin_port}/readyz", self._node_processes[number]
        )

    def _plan_node(self, name: str) -> NodePlan:
        shop = Shop(name, f"{name}-1.0", self.served_pages, IReactorTime(self._reactor))
        self._applications.append(shop)
        return NodePlan(name, self._listen(0, shop.site()), self._ports.take(), self._ports.take())

    def _listen(self, port: int, site: Site) -> int:
        # Site's annotations do not match those of the reactor interface.
        listener = self._reactor.listenTCP(port, cast("ServerFactory[Any]", site), interface=LOOPBACK)
        self._listeners.append(listener)
        address = listener.getHost()
        return address.port if isinstance(address, IPv4Address) else 0

    def _write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self._folder / name
        path.touch(mode)
        path.write_text(text, "utf-8")
        return path

    def _start_command(self, subcommand: str, config: str, name: str = "") -> ChildProcess:
        label = name or subcommand
        file = self._write(f"{label}.toml", config)
        return self._start_process(label, companion_command(subcommand, "--config", str(file)))

    def _start_process(self, label: str, command: list[str]) -> ChildProcess:
        process = ChildProcess(label, command, self._folder / f"{label}.log", self._reactor)
        if self._stopped:
            raise NotReady("the farm is ended already")
        process.start()
        return process

    def _start_balancer(self) -> None:
        backends = [
            Backend(node.name, f"{LOOPBACK}:{node.public_port}", f"{LOOPBACK}:{node.admin_port}")
            for node in self.plan.nodes
        ]
        kind = PROGRAMS.get(self.balancer)
        program = find_program(kind.program) if kind is not None else None
        if kind is None or program is None:
            self._listen(self.plan.site, DemoBalancer(backends, self._agent, COOKIE).site())
            self._health_checks = HealthChecks(backends, self._agent, IReactorTime(self._reactor))
            self._health_checks.start()
            return
        config = self._write(f"{kind.program}.cfg", kind.configuration(self.plan.site, backends, COOKIE))
        self._other_processes.append(self._start_process(kind.program, kind.command(program, config)))

    async def _wait_ready(self, url: str, *processes: ChildProcess) -> None:
        """Wait until a GET returns status 200."""
        end = self._reactor.seconds() + _READY_SECONDS
        while not await self._is_ready(url):
            for process in processes:
                if process.failed:
                    raise process.error()
            if self._reactor.seconds() > end:
                raise processes[-1].error() if processes else NotReady(f"{url} does not answer")
            await deferLater(self._reactor, _POLL_SECONDS)

    async def _is_ready(self, url: str) -> bool:
        try:
            response = await self._agent.request(b"GET", url.encode(), Headers({}), None)
            await readBody(response)
        except (OSError, ConnectError, ConnectionClosed, ResponseFailed):
            return False
        return bool(response.code == 200)

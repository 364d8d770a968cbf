"""A farm of many nodes without a socket: the crawler's own rounds, minter, ladder and routes, over models of balancers,
on a clock of its own. Only network, nodes and visitors are made up.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from itertools import count
from typing import Any

from attrs import define, field, frozen

from lbcompanion.crawler.crawl.round_runner import RoundResult, RoundRunner, SiteContext
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchMiss, FetchPath, WhoamiReply
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.crawler.queue.backlog import PendingNotice
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import MissReason
from lbcompanion.settings import SiteSettings, StickyTable
from lbcompanion.sticky.ladder import Finish, LadderLimits, Wait
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Routes
from lbcompanion.testing.balancer_models import BalancerModel, Choice, NodeStates, NoStickiness, StickTable, pairs
from lbcompanion.testing.balancer_products import haproxy_insert, haproxy_table

_COPY_SECONDS = 600.0
_RESTART_SECONDS = 5.0
#: From when a node is gone, or back, until the balancer's checks say so.
_NOTICED_SECONDS = 3.0
_NOTICE_SECONDS = 1.5
_VIEWS_PER_VISITOR = 8
_VISITORS_PER_NODE = 3
_NODE = re.compile(r"\bn[0-9]+\b")


@frozen
class Kind:
    """One sort of farm.

    :ivar hidden: whether neither script nor node sees what sticks.
    :ivar by_session: whether the application's session is what sticks.
    """

    model: Callable[[], BalancerModel]
    sticky: StickyTable
    hidden: bool = False
    by_session: bool = False
    peers: bool = False


KINDS: Mapping[str, Kind] = {
    "insert": Kind(haproxy_insert, StickyTable("haproxy-insert", ("SRV",))),
    "indirect": Kind(lambda: haproxy_insert(indirect=True), StickyTable("haproxy-insert", ("SRV",)), hidden=True),
    "table": Kind(haproxy_table, StickyTable("haproxy-table", ("sess",), ("sess",)), by_session=True),
    "none+peers": Kind(NoStickiness, StickyTable(), peers=True),
}


@frozen
class Plan:
    """The parameters of a simulation.

    :ivar seconds: over which the visits are spread.
    :ivar restarts: of each node in a day; what it held in memory is gone.
    :ivar outages: of each node in a day; it holds what it had.
    """

    kind: str
    nodes: int = 1000
    visits: int = 250_000
    seconds: float = 7200.0
    restarts: float = 12.0
    outages: float = 12.0
    outage_seconds: float = 90.0
    seed: int = 1


@define
class Figures:
    """The results of a simulation.

    :ivar unseen: visits that got no page, as their node was down and the balancer did not know.
    :ivar untold: pages whose notice got lost in the same way.
    :ivar at_first: archived by the first request for the page.
    :ivar warm: pages viewed in the second half of the time; ``warm_at_first`` those of them archived at first.
    :ivar requests: for pages, in all.
    :ivar misroutes: of those, answered by a node that could not help.
    :ivar probes: questions who answers, for routes of the crawler's own.
    :ivar moved: visitors whom a request of the crawler bound to another node.
    """

    visits: int = 0
    unseen: int = 0
    untold: int = 0
    notices: int = 0
    archived: int = 0
    at_first: int = 0
    warm: int = 0
    warm_at_first: int = 0
    requests: int = 0
    most_requests: int = 0
    misroutes: int = 0
    probes: int = 0
    moved: int = 0
    restarts: int = 0
    outages: int = 0
    routes: Counter[str] = field(factory=Counter)
    lost: Counter[str] = field(factory=Counter)


@define
class _Page:
    owner: str
    life: int
    at: float
    warm: bool
    requests: int = 0


@define
class _Visitor:
    jar: dict[str, str]


class SimulatedFetcher:
    """Stands for :class:`lbcompanion.crawler.fetching.fetcher.SiteFetcher`."""

    def __init__(self, farm: Simulation, site: SiteSettings) -> None:
        self.site = site
        self._farm = farm

    async def page(self, token: str, fetch_path: FetchPath) -> FetchedCopy | FetchMiss:
        """The response for a page, from the node that the balancer chooses."""
        farm, page = self._farm, self._farm.pages[token]
        farm.figures.requests += 1
        page.requests += 1
        choice = farm.route_crawler(fetch_path)
        node = choice.node
        if not node:
            return FetchMiss("", "status 503")
        if node != page.owner and (not farm.kind.peers or page.owner in farm.down):
            farm.figures.misroutes += 1
            return FetchMiss(node, MissReason.MISROUTED.value, choice.set_cookies)
        if farm.lives[page.owner] != page.life:
            return FetchMiss(page.owner, MissReason.UNKNOWN.value)
        if farm.now - page.at > _COPY_SECONDS:
            return FetchMiss(page.owner, MissReason.EXPIRED.value)
        via = "own" if node == page.owner else "peer"
        return FetchedCopy(node, "", "GET", 200, "text/html", page.at, via, b"", b"", choice.set_cookies)

    def on_wrong_turn(self, fetch_path: FetchPath) -> None:
        """Another node than the route's answered: here are no connections to close."""

    async def whoami(self, fetch_path: FetchPath) -> WhoamiReply:
        """The node that answers."""
        self._farm.figures.probes += 1
        choice = self._farm.route_crawler(fetch_path)
        if not choice.node:
            raise FetchFailed("status 503")
        return WhoamiReply(choice.node, choice.set_cookies)

    async def post_whoami(self) -> tuple[str, ...]:
        """The cookies set in response to a POST: the same as for GET."""
        self._farm.figures.probes += 1
        choice = self._farm.route_crawler(FetchPath())
        if not choice.node:
            raise FetchFailed("status 503")
        return tuple(choice.set_cookies)

    async def open_session(self) -> tuple[str, ...]:
        """Begin a session."""
        self._farm.figures.probes += 1
        choice = self._farm.route_crawler(FetchPath())
        if not choice.node:
            raise FetchFailed("status 503")
        return (*choice.set_cookies, *self._farm.begun(choice.node))


class Simulation:
    """One farm, from its first visit to the last outcome."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kind = KINDS[plan.kind]
        self.chance = random.Random(plan.seed)
        self.now = 0.0
        self.nodes = [f"n{number}" for number in range(1, plan.nodes + 1)]
        self.lives = dict.fromkeys(self.nodes, 0)
        self.down: set[str] = set()
        self.believed_down: set[str] = set()
        self.node_states = NodeStates(tuple(self.nodes))
        self.model = self.kind.model()
        self.pages: dict[str, _Page] = {}
        self.figures = Figures()
        self._number = count()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._visitors = [self._visitor() for _ in range(_VISITORS_PER_NODE * plan.nodes)]
        site = SiteSettings("main", "http://www.example.com", sticky=self.kind.sticky)
        self._reader = CookieReader(self.kind.sticky)
        routes = Routes()
        fetcher: Any = SimulatedFetcher(self, site)
        minter = Minter(
            fetcher=fetcher,
            reader=self._reader,
            routes=routes,
            save_route=lambda _route: None,
            now=lambda: self.now,
            new_key=self._random_value,
        )
        self._context = SiteContext(site, fetcher, minter, self._reader)
        self._round_runner = RoundRunner(
            routes=routes,
            save_route=lambda _route: None,
            now=lambda: self.now,
            jitter=self.chance.random,
            limits=LadderLimits(),
        )

    def _random_value(self) -> str:
        return f"c{next(self._number)}"

    def _visitor(self) -> _Visitor:
        return _Visitor({})

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._number), what))

    # The balancer.

    def _route_request(self, cookies: list[tuple[str, str]]) -> Choice:
        choice = self.model.choose(cookies, self.node_states)
        return Choice("") if choice.node in self.down else choice

    def route_crawler(self, fetch_path: FetchPath) -> Choice:
        """Route a request of the crawler."""
        cookies = [(cookie.name, cookie.value) for cookie in fetch_path.cookies]
        table = self.model.table if isinstance(self.model, StickTable) else {}
        before = {value: table[value] for _, value in cookies if value.startswith("v") and value in table}
        choice = self._route_request(cookies)
        self.figures.moved += sum(table[key] != node for key, node in before.items())
        return choice

    def begun(self, node: str, prefix: str = "c") -> tuple[str, ...]:
        """The application begins a session, where that is what sticks."""
        if not self.kind.by_session:
            return ()
        given = self.model.cookies_for_visitor(node, [("sess", f"{prefix}{next(self._number)}")])
        return tuple(f"{name}={value}; path=/; HttpOnly" for name, value in given)

    def _learn_standing(self) -> None:
        believed = {node for node in self.believed_down | self.down if node in self.down}
        if believed != self.believed_down:
            self.believed_down = believed
            self.node_states = NodeStates(tuple(node for node in self.nodes if node not in believed))

    # What befalls nodes.

    def _plan_troubles(self) -> None:
        days = self.plan.seconds / 86400
        for sort, rate in (("restarts", self.plan.restarts), ("outages", self.plan.outages)):
            goes = partial(self._take_down, sort)
            for _ in range(round(rate * days * self.plan.nodes)):
                node = self.chance.choice(self.nodes)
                self._later(self.chance.uniform(0, self.plan.seconds), partial(goes, node))

    def _take_down(self, sort: str, node: str) -> None:
        if node in self.down or len(self.down) + 1 >= len(self.nodes):
            return
        setattr(self.figures, sort, getattr(self.figures, sort) + 1)
        self.down.add(node)
        self.lives[node] += sort == "restarts"
        lasts = _RESTART_SECONDS if sort == "restarts" else self.chance.expovariate(1 / self.plan.outage_seconds)
        self._later(_NOTICED_SECONDS, self._learn_standing)
        self._later(lasts, lambda: self.down.discard(node))
        self._later(lasts + _NOTICED_SECONDS, self._learn_standing)

    # Visitors.

    def _visit(self) -> None:
        self.figures.visits += 1
        at = self.chance.randrange(len(self._visitors))
        if self.chance.random() * _VIEWS_PER_VISITOR < 1:
            self._visitors[at] = self._visitor()
        visitor = self._visitors[at]
        node = self._route_visitor(visitor)
        if not node:
            self.figures.unseen += 1
            return
        if self.kind.by_session and "sess" not in visitor.jar:
            self._store_cookies(visitor, self.begun(node, "v"))
        token = str(self.figures.visits)
        self.pages[token] = _Page(node, self.lives[node], self.now, self.now >= self.plan.seconds / 2)
        self._later(self.chance.expovariate(1 / _NOTICE_SECONDS), lambda: self._send_notice(visitor, token))

    def _route_visitor(self, visitor: _Visitor) -> str:
        choice = self._route_request(list(visitor.jar.items()))
        self._store_cookies(visitor, choice.set_cookies)
        return choice.node

    def _store_cookies(self, visitor: _Visitor, set_cookies: tuple[str, ...]) -> None:
        for line in set_cookies:
            visitor.jar.update(pairs(line.partition(";")[0]))

    def _send_notice(self, visitor: _Visitor, token: str) -> None:
        script_cookies = {} if self.kind.hidden else dict(visitor.jar)
        if not self._route_visitor(visitor):
            self.figures.untold += 1
            del self.pages[token]
            return
        self.figures.notices += 1
        page = self.pages[token]
        self.figures.warm += page.warm
        self._fetch(PendingNotice(token, "main", page.owner, self._reader.read(script_cookies), self.now, 0, ()))

    # The crawler.

    def _fetch(self, job: PendingNotice) -> None:
        round_result = _at_once(self._round_runner.run(self._context, job))
        if isinstance(round_result.step, Wait):
            again = PendingNotice(job.token, job.site, job.owner, job.cookies, job.received_at, job.rounds + 1, ())
            self._later(round_result.step.seconds, lambda: self._fetch(again))
            return
        figures, page = self.figures, self.pages.pop(job.token)
        figures.most_requests = max(figures.most_requests, page.requests)
        if isinstance(round_result.step, Finish):
            figures.lost[_NODE.sub("the owner", round_result.step.reason.text).replace("its owner the", "its")] += 1
            return
        figures.archived += 1
        figures.routes[round_result.route] += 1
        figures.at_first += page.requests == 1
        figures.warm_at_first += page.requests == 1 and page.warm

    def run(self) -> Figures:
        """All of it."""
        self._plan_troubles()
        every = self.plan.seconds / max(1, self.plan.visits)
        for number in range(self.plan.visits):
            self._pass_until(number * every)
            self._visit()
        self._pass_until(float("inf"))
        assert not self.pages, "every notice ends"
        return self.figures

    def _pass_until(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        if until < float("inf"):
            self.now = until


def _at_once(running: Coroutine[Any, Any, RoundResult]) -> RoundResult:
    """Return the result of a coroutine that never waits."""
    try:
        running.send(None)
    except StopIteration as done:
        result: RoundResult = done.value
        return result
    raise AssertionError("nothing here has to be waited for")

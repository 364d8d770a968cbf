"""Routing cookies of the crawler's own: asked of the balancer without a cookie, verified by replay, kept per node.

``whoami`` sets none of the application's cookies, so every ``Set-Cookie`` of its answer comes from a balancer;
the proof says which node answered. Where no balancer hands a cookie out, some do in answer to POST, or it may look at
one of the application's: then a key of our own invention, or a session of our own, may turn out to lead somewhere. One
campaign at a time for each site, one request at a time; it serves all who wait for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbcompanion.crawler.fetching.fetcher import SiteFetcher, Way
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.crawler.routes.mint_method import MOST_PROBES, Means, Plan, budget
from lbcompanion.crawler.routes.verification import Proof, Prover
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.sticky.cookies import is_pattern
from lbcompanion.sticky.derived_cookies import may_be_adopted
from lbcompanion.sticky.dialects import AUTO, by_name
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source

_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 30.0
_MAX_FAILURES = 3
#: Where nothing came of all means, asking again soon is vain.
_BARREN_WAIT_SECONDS = 300.0
_WRITE_SECONDS = 60.0


class Minter:
    """Mints for one site.

    :param keep: told of every route that changed, to keep it durably.
    :param now: the time, seconds since the epoch.
    :param invent: gives a new text without meaning, for a key of our own where a cookie's hash decides.
    :param rest: waited for between the probes of a campaign that takes long.
    """

    def __init__(
        self,
        *,
        fetcher: SiteFetcher,
        reader: CookieReader,
        routes: Routes,
        keep: Callable[[Route], object],
        now: WallClock,
        invent: Callable[[], str],
        rest: Callable[[], Awaitable[object]] = lambda: succeed(None),
    ) -> None:
        self._fetcher = fetcher
        self._site = fetcher.site
        self._reader = reader
        self._routes = routes
        self._keep = keep
        self._now = now
        self._invent = invent
        self._rest = rest
        self._prover = Prover(fetcher=fetcher, reader=reader, routes=routes, now=now)
        self._wanted: set[str] = set()
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._running = False
        self._not_before: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        self._barren = False
        self._log = Logger(namespace="lbcompanion.crawler.minting")
        #: Told of a node to which there was no proven route, and is one now.
        self.when_proven: Callable[[str], object] = lambda _node: None
        #: How many routes were proven, for the metrics.
        self.proven = 0

    @property
    def probes(self) -> int:
        """How many probes were sent, for the metrics."""
        return self._prover.probes

    @property
    def busy(self) -> bool:
        """Whether a campaign is under way."""
        return self._running

    def may_mint(self, node: str) -> bool:
        """Whether a campaign for this node is worth it now: no back-off is running."""
        return self._now() >= self._not_before.get(node, 0.0)

    def mint(self, node: str) -> Deferred[None]:
        """Try to get a route to a node; fires when there is one, or the campaign is over without."""
        done: Deferred[None] = Deferred()
        self._waiting.setdefault(node, []).append(done)
        self._wanted.add(node)
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._campaign()).addBoth(self._over)
        return done

    async def reprove(self, node: str) -> bool:
        """Replay the proven route to a node once, so that it is known to hold before a fetch needs it; one that is not
        proven now as often as a new one.

        :returns: whether it holds. Where another node answered, the route is stale from now on; where nobody did,
            nothing is known and nothing changes.
        """
        route = self._routes.get(self._site.name, node)
        if route is None:
            return False
        proof = await self._prover.prove(route, replays=int(route.state is RouteState.PROVEN))
        if proof.route is None:
            self._routes.mark_down(self._site.name, node)
        self._conclude(route, proof)
        return proof.route is not None

    def renewed(self, node: str, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> str:
        """A proven answer of a node, to a request with its route's cookies, handed these out.

        :returns: what was learnt, in words; empty: nothing.
        """
        route = self._routes.get(self._site.name, node)
        if route is None or route.cookies != sent or self._reader.detects_move(sent, set_cookies) is True:
            return ""
        newer = self._prover.renewed(route, set_cookies)
        if newer is route:
            return ""
        self._keep(self._routes.put(newer))
        return f"newer cookies for {node} were handed back"

    def offer(self, node: str, set_cookies: tuple[str, ...]) -> str:
        """A proven answer of a node handed these out on the way: they are a guess at a route to it.

        :returns: what was learnt, in words; empty: nothing.
        """
        candidates = self._prover.candidates(node, set_cookies)
        if not candidates or self._fresh(node):
            return ""
        self._hint(candidates[0])
        return f"a cookie for {node} was handed out"

    def recorded(self, node: str, cookies: tuple[RoutingCookie, ...]) -> None:
        """A notice came with these for a page of the node: where they are the node's and can be no visitor's session, a
        guess."""
        route = self._routes.get(self._site.name, node)
        if not cookies or (route is not None and (route.state is RouteState.PROVEN or route.cookies == cookies)):
            return
        if not may_be_adopted(self._reader, cookies):
            return
        dialect = self._prover.dialects(cookies)
        candidate = Route(self._site.name, node, cookies, dialect, RouteState.CANDIDATE, self._now())
        self._hint(evolve(candidate, source=Source.TRAFFIC))

    def _hint(self, candidate: Route) -> None:
        taken = self._routes.add_candidate(candidate, self._now())
        if taken is not None:
            self._keep(taken)

    def _over(self, result: object) -> None:
        self._running = False
        for node in self._wanted:
            if self._fresh(node):
                self._waits.pop(node, None)
            else:
                wait = self._waits.get(node, _FIRST_WAIT_SECONDS)
                self._not_before[node] = self._now() + wait
                self._waits[node] = min(wait * 2, _BARREN_WAIT_SECONDS if self._barren else _LONGEST_WAIT_SECONDS)
        if result is not None:
            self._log.error("minting for {site} failed: {why!r}", site=self._site.name, why=result)
        over, self._wanted = self._wanted, set()
        for node in over:
            self._tell(node)

    def _tell(self, node: str) -> None:
        for each in self._waiting.pop(node, []):
            if not each.called:
                each.callback(None)

    def _fresh(self, node: str) -> bool:
        route = self._routes.get(self._site.name, node)
        return route is not None and route.state is RouteState.PROVEN and not route.wants_refresh(self._now())

    def _missing(self) -> set[str]:
        return {node for node in self._wanted if not self._fresh(node)}

    async def _campaign(self) -> None:
        await self._try_what_is_there()
        plan, failures = Plan(bool(self._invented())), 0
        self._barren = False
        for number in range(MOST_PROBES):
            known = len(self._known())  # it grows while the site's nodes are seen for the first time
            if number >= budget(known) or not self._missing() or failures >= _MAX_FAILURES:
                return
            if number > 2 * known:
                await self._rest()
            try:
                plan.came_of_it(await self._ask_by(plan.means))
            except FetchFailed:
                failures += 1
            if plan.exhausted:
                self._barren = True
                return

    def _known(self) -> frozenset[str]:
        return self._routes.nodes(self._site.name) | frozenset(self._site.nodes) | self._wanted

    async def _ask_by(self, means: Means) -> bool | None:
        if means is Means.POST:
            return await self._ask_with(await self._fetcher.post(), Source.MINTED)
        if means is Means.SESSION:
            return await self._ask_with(await self._fetcher.open_session(), Source.SESSION)
        return await self._ask(self._invented() if means is Means.INVENTED else ())

    async def _try_what_is_there(self) -> None:
        """A node that was away for a while is mostly back under its old value; one that drains takes no other; and what
        was recorded for its visitors may be the node's own value."""
        for node in sorted(self._missing()):
            route = self._routes.get(self._site.name, node)
            there = [route] if route is not None and route.state is not RouteState.PROVEN else []
            for each in (*there, *self._routes.candidates(self._site.name, node)):
                if each.has_expired(self._now()):
                    continue
                if await self._proves(each):
                    break

    def _invented(self) -> tuple[RoutingCookie, ...]:
        """A key of our own under the name that routes, where no balancer hands a cookie out."""
        sticky = self._site.sticky
        names = sticky.cookies or (() if sticky.dialect == AUTO else by_name(sticky.dialect).cookie_names)
        plain = [name for name in names if not is_pattern(name)]
        return tuple(RoutingCookie(name, self._invent()) for name in plain[:1])

    async def _ask(self, invented: tuple[RoutingCookie, ...]) -> bool | None:
        """Ask who answers; whether that gave a proven route, None where nothing was handed out."""
        seen = await self._prover.probe(Way(invented))
        candidates = self._prover.candidates(seen.node, seen.set_cookies, invented)
        return await self._learn(seen.node, candidates) if candidates else None

    async def _ask_with(self, handed: tuple[str, ...], source: Source) -> bool | None:
        """The same with what an answer handed out that did not say whose it was."""
        candidates = self._prover.candidates("", handed, source=source)
        if not candidates:
            return None
        known = False
        for each in candidates:
            node = (await self._prover.probe(Way(each.cookies))).node
            known = self._fresh(node)
            if not known and await self._proves(evolve(each, node=node)):
                return True
        return known

    async def _learn(self, node: str, candidates: list[Route]) -> bool:
        """Verify what may lead to the node; True also where a route to it is there already."""
        if self._fresh(node):
            return True
        for each in candidates:
            if await self._proves(each):
                return True
        return False

    async def _proves(self, candidate: Route) -> bool:
        """Put a candidate to the proof; a route that was proven stays in its place until a new one is as well."""
        there = self._routes.get(self._site.name, candidate.node)
        if there is None or there.proven_at is None:
            self._keep(self._routes.put(evolve(candidate, state=RouteState.CANDIDATE)))
        proof = await self._prover.prove(candidate)
        self._conclude(candidate, proof)
        return proof.route is not None

    def _conclude(self, tried: Route, proof: Proof) -> None:
        site, node = self._site.name, tried.node
        there = self._routes.get(site, node)
        if proof.route is not None:
            self._routes.put(proof.route)
            if there is None or not _says_the_same(there, proof.route):
                self._keep(proof.route)
            if there is None or there.state is not RouteState.PROVEN:
                self.proven += 1
                self._log.info("route to {node} of {site} is proven", node=node, site=site)
                self.when_proven(node)
            if self._fresh(node):
                self._tell(node)
            return
        self._routes.drop_candidate(tried)
        if proof.elsewhere:
            self._routes.mark_misleading(site, node, tried.cookies, self._now())
        if there is not None and (proof.elsewhere or there.state is RouteState.CANDIDATE):
            changed = self._routes.mark_stale(site, node, tried.cookies)
            if changed is not None:
                self._keep(changed)


def _says_the_same(kept: Route, newer: Route) -> bool:
    """Not every proof is worth a write: what is kept tells to the minute when a route was proven last."""
    same = (kept.cookies, kept.state, kept.expires_at) == (newer.cookies, newer.state, newer.expires_at)
    return same and (newer.proven_at or 0.0) - (kept.proven_at or 0.0) < _WRITE_SECONDS

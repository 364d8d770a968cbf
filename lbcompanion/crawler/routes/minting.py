"""Minting: gets routing cookies for the crawler itself from the balancer, one route per node, verified by replay.

A response of ``whoami`` carries no cookie of the application, so every ``Set-Cookie`` comes from a balancer; the proof
says which node answered. A balancer that sets no cookie may set one on POST, or route by a cookie of the application;
then a made-up value or a session of the crawler's own may lead to a node. Each site runs one campaign at a time and one
request at a time; all callers of :meth:`Minter.mint` share the campaign.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.crawler.routes.mint_method import MAX_PROBES, MintMethod, MintPlan, probe_budget
from lbcompanion.crawler.routes.verification import RouteVerifier, Verification
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.protocol.shapes import ASCII_URL
from lbcompanion.sticky.address_sessions import without_session_ids
from lbcompanion.sticky.cookies import is_pattern
from lbcompanion.sticky.derived_cookies import may_be_adopted, may_be_tried
from lbcompanion.sticky.dialects import AUTO, by_name
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source

_FIRST_BACKOFF_SECONDS = 2.0
_MAX_BACKOFF_SECONDS = 30.0
_MAX_FAILED_PROBES = 3
#: Back-off after all methods failed.
_EXHAUSTED_BACKOFF_SECONDS = 300.0
_MIN_SAVE_INTERVAL_SECONDS = 60.0
_PATH_PARAMETERS = re.compile(r"(?:;|%3[Bb])[^/]*")


class Minter:
    """Mints routes for one site.

    :param save_route: called with every route that changed, to save it durably.
    :param now: the time, seconds since the epoch.
    :param new_key: returns a new random text, the cookie value to try with a balancer that hashes a cookie.
    :param pause: its result is awaited between the probes of a long campaign.
    """

    def __init__(
        self,
        *,
        fetcher: SiteFetcher,
        reader: CookieReader,
        routes: Routes,
        save_route: Callable[[Route], object],
        now: WallClock,
        new_key: Callable[[], str],
        pause: Callable[[], Awaitable[object]] = lambda: succeed(None),
    ) -> None:
        self._fetcher = fetcher
        self._site = fetcher.site
        self._reader = reader
        self._routes = routes
        self._save_route = save_route
        self._now = now
        self._new_key = new_key
        self._pause = pause
        self._verifier = RouteVerifier(fetcher=fetcher, reader=reader, routes=routes, now=now)
        self._nodes_wanted: set[str] = set()
        self._waiters: dict[str, list[Deferred[None]]] = {}
        self._campaign_running = False
        self._not_before: dict[str, float] = {}
        self._backoffs: dict[str, float] = {}
        self._exhausted = False
        self._page_path = "/"
        self._has_turn = False
        self._log = Logger(namespace="lbcompanion.crawler.minting")
        #: Called with a node whose route becomes proven.
        self.on_proven: Callable[[str], object] = lambda _node: None
        #: Called before a campaign; the result says whether it may begin. Another crawler may mint at this moment.
        self.take_turn: Callable[[], Awaitable[bool]] = lambda: succeed(True)
        #: Called after a campaign that began.
        self.end_turn: Callable[[], object] = lambda: None
        #: Number of routes that became proven, for the metrics.
        self.proven = 0

    @property
    def probes(self) -> int:
        """Number of probes sent, for the metrics."""
        return self._verifier.probes

    @property
    def busy(self) -> bool:
        """Whether a campaign is running."""
        return self._campaign_running

    def may_mint(self, node: str) -> bool:
        """Whether a campaign for this node may start: no back-off is running, or there is a candidate to try."""
        return self._may_ask(node) or self._routes.has_untried(self._site.name, node, self._now())

    def _may_ask(self, node: str) -> bool:
        """Whether the balancer may be asked for a cookie for this node: no back-off is running."""
        return self._now() >= self._not_before.get(node, 0.0)

    def mint(self, node: str) -> Deferred[None]:
        """Try to get a route to a node; fires when there is one or the campaign has ended without one."""
        done: Deferred[None] = Deferred()
        self._waiters.setdefault(node, []).append(done)
        self._nodes_wanted.add(node)
        if not self._campaign_running:
            self._campaign_running = True
            Deferred.fromCoroutine(self._campaign()).addBoth(self._on_campaign_end)
        return done

    async def reverify(self, node: str) -> bool:
        """Verify the route to a node again before a fetch needs it: one replay for a proven route, as many as for a new
        route otherwise.

        :returns: whether the route holds. If another node answered, the route becomes stale; if none answered, the
            route stays as it is.
        """
        route = self._routes.get(self._site.name, node)
        if route is None:
            return False
        verification = await self._verifier.verify(route, replays=int(route.state is RouteState.PROVEN))
        self._apply(route, verification)
        return verification.route is not None

    def refresh_cookies(self, node: str, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> str:
        """Update a route's cookies from a proven response of its node to a request that sent them.

        :returns: what was learnt, in words; empty if nothing changed.
        """
        route = self._routes.get(self._site.name, node)
        if route is None or route.cookies != sent or self._reader.detects_move(sent, set_cookies) is True:
            return ""
        newer = self._verifier.refresh_cookies(route, set_cookies)
        if newer is route:
            return ""
        self._save_route(self._routes.put(newer))
        return f"newer cookies for {node} were handed back"

    def add_candidate(self, node: str, set_cookies: tuple[str, ...]) -> str:
        """Store the cookies set by a proven response of a node as a candidate for its route.

        :returns: what was learnt, in words; empty if nothing was stored.
        """
        candidates = self._verifier.candidates(node, set_cookies)
        if not candidates or self._has_fresh_route(node):
            return ""
        self._add_candidate(candidates[0])
        return f"a cookie for {node} was handed out"

    def note_page(self, page_url: str) -> None:
        """Remember the path of a page, as its node reported it, to open a session there.

        The query is left out, and so is what may be a visitor's session in the path: the response would set the
        visitor's cookie.
        """
        try:
            path = urlsplit(without_session_ids(page_url)).path if ASCII_URL.fullmatch(page_url) else ""
        except ValueError:
            return
        path = _PATH_PARAMETERS.sub("", path)
        self._page_path = path or self._page_path

    def note_visitor_cookies(self, node: str, cookies: tuple[RoutingCookie, ...]) -> None:
        """Store the cookies of a notice as a candidate for its node's route, if they are the node's: by a dialect, or
        because many visitors of the node sent them."""
        route = self._routes.get(self._site.name, node)
        if not cookies or (route is not None and (route.state is RouteState.PROVEN or route.cookies == cookies)):
            return
        if not may_be_adopted(self._reader, cookies):
            cookies = self._shared_by_visitors(node, cookies)
            if not cookies or (route is not None and route.cookies == cookies):
                return
        dialect = self._verifier.dialect_names(cookies)
        candidate = Route(self._site.name, node, cookies, dialect, RouteState.CANDIDATE, self._now())
        self._add_candidate(evolve(candidate, source=Source.TRAFFIC))

    def _shared_by_visitors(self, node: str, cookies: tuple[RoutingCookie, ...]) -> tuple[RoutingCookie, ...]:
        """Return the cookies that many visitors of the node sent; those that may be a session's are left out."""
        belongs, allowed = self._routes.node_cookie_values.belongs_to_node, self._site.sticky.allow_credentials
        shared = tuple(
            cookie for cookie in cookies if may_be_tried((cookie,), allowed) and belongs(self._site.name, node, cookie)
        )
        return shared if may_be_tried(shared, allowed) else ()

    def _add_candidate(self, candidate: Route) -> None:
        taken = self._routes.add_candidate(candidate, self._now())
        if taken is not None:
            self._save_route(taken)

    def _on_campaign_end(self, result: object) -> None:
        self._campaign_running = False
        began, self._has_turn = self._has_turn, False
        if began:
            self.end_turn()
        for node in self._nodes_wanted:
            if self._has_fresh_route(node):
                self._backoffs.pop(node, None)
            elif not began:  # another crawler minted at this moment
                self._not_before[node] = max(self._not_before.get(node, 0.0), self._now() + _FIRST_BACKOFF_SECONDS)
            elif self._may_ask(node):
                wait = self._backoffs.get(node, _FIRST_BACKOFF_SECONDS)
                self._not_before[node] = self._now() + wait
                self._backoffs[node] = min(
                    wait * 2, _EXHAUSTED_BACKOFF_SECONDS if self._exhausted else _MAX_BACKOFF_SECONDS
                )
        if result is not None:
            self._log.error("minting for {site} failed: {why!r}", site=self._site.name, why=result)
        over, self._nodes_wanted = self._nodes_wanted, set()
        for node in over:
            self._notify_waiters(node)

    def _notify_waiters(self, node: str) -> None:
        for each in self._waiters.pop(node, []):
            if not each.called:
                each.callback(None)

    def _has_fresh_route(self, node: str) -> bool:
        route = self._routes.get(self._site.name, node)
        return route is not None and route.state is RouteState.PROVEN and not route.wants_refresh(self._now())

    def _nodes_without_route(self) -> set[str]:
        return {node for node in self._nodes_wanted if not self._has_fresh_route(node)}

    async def _campaign(self) -> None:
        self._has_turn = await self.take_turn()
        if not self._has_turn:
            return
        await self._retry_known_routes()
        plan, failures = MintPlan(bool(self._invented_cookies())), 0
        self._exhausted = False
        for number in range(MAX_PROBES):
            known = len(self._known_nodes())  # grows as nodes answer for the first time
            wanted = any(map(self._may_ask, self._nodes_without_route()))
            if number >= probe_budget(known) or not wanted or failures >= _MAX_FAILED_PROBES:
                return
            if number > 2 * known:
                await self._pause()
            try:
                plan.record_result(proven=await self._probe_by(plan.method))
            except FetchFailed:
                failures += 1
            if plan.exhausted:
                self._exhausted = True
                return

    def _known_nodes(self) -> frozenset[str]:
        return self._routes.nodes(self._site.name) | frozenset(self._site.nodes) | self._nodes_wanted

    async def _probe_by(self, method: MintMethod) -> bool | None:
        if method is MintMethod.POST:
            return await self._probe_with(await self._fetcher.post_whoami(), Source.MINTED)
        if method is MintMethod.SESSION:
            return await self._probe_sessions()
        return await self._probe(self._invented_cookies() if method is MintMethod.INVENTED else ())

    async def _probe_sessions(self) -> bool | None:
        """Open a session at the first page; where that gives no route, at the page viewed last: an application below a
        context path starts none at the first page."""
        results = []
        for path in dict.fromkeys(("/", self._page_path)):
            results.append(await self._probe_with(await self._fetcher.open_session(path), Source.SESSION))
            if results[-1]:
                return True
        return False if False in results else None

    async def _retry_known_routes(self) -> None:
        """Before minting, try the routes and candidates that exist: a restarted node usually keeps its cookie value, a
        draining node accepts only that, and a value recorded for visitors may be the node's own."""
        for node in sorted(self._nodes_without_route()):
            route = self._routes.get(self._site.name, node)
            existing = [route] if route is not None and route.state is not RouteState.PROVEN else []
            for each in (*existing, *self._routes.candidates(self._site.name, node)):
                if each.has_expired(self._now()):
                    continue
                if await self._verify(each):
                    break

    def _invented_cookies(self) -> tuple[RoutingCookie, ...]:
        """Return a cookie with a made-up value, under the name that the balancer may hash."""
        sticky = self._site.sticky
        names = sticky.cookies or (() if sticky.dialect == AUTO else by_name(sticky.dialect).cookie_names)
        plain = [name for name in names if not is_pattern(name)]
        return tuple(RoutingCookie(name, self._new_key()) for name in plain[:1])

    async def _probe(self, invented: tuple[RoutingCookie, ...]) -> bool | None:
        """Probe once; returns whether that gave a proven route, or None if no cookie was set."""
        reply = await self._verifier.probe(FetchPath(invented))
        candidates = self._verifier.candidates(reply.node, reply.set_cookies, invented, recurring=not invented)
        return await self._learn(reply.node, candidates) if candidates else None

    async def _probe_with(self, handed: tuple[str, ...], source: Source) -> bool | None:
        """Try the cookies of a response that did not name its node; returns as :meth:`_probe`."""
        candidates = self._verifier.candidates("", handed, source=source)
        if not candidates:
            return None
        known = False
        for each in candidates:
            node = (await self._verifier.probe(FetchPath(each.cookies))).node
            if self._has_fresh_route(node):
                known = self._has_route_of_names(node, candidates)
            elif await self._verify(evolve(each, node=node)):
                return True
            else:
                known = False
        return known

    async def _learn(self, node: str, candidates: list[Route]) -> bool:
        """Verify candidates for a node's route; True also if the node already has a fresh route of such cookies."""
        if self._has_fresh_route(node):
            return self._has_route_of_names(node, candidates)
        for each in candidates:
            if await self._verify(each):
                return True
        return False

    def _has_route_of_names(self, node: str, candidates: list[Route]) -> bool:
        """Whether a node's route consists of cookies with the candidates' names.

        A route of other cookies came from another method. It does not show that this method gives routes.
        """
        route = self._routes.get(self._site.name, node)
        names = {cookie.name for each in candidates for cookie in each.cookies}
        return route is not None and {cookie.name for cookie in route.cookies} <= names

    async def _verify(self, candidate: Route) -> bool:
        """Verify a candidate; a proven route is replaced only by another proven one."""
        existing = self._routes.get(self._site.name, candidate.node)
        if existing is None or existing.proven_at is None:
            self._save_route(self._routes.put(evolve(candidate, state=RouteState.CANDIDATE)))
        verification = await self._verifier.verify(candidate)
        self._apply(candidate, verification)
        return verification.route is not None

    def _apply(self, tried: Route, verification: Verification) -> None:
        site, node = self._site.name, tried.node
        existing = self._routes.get(site, node)
        if verification.route is not None:
            self._routes.drop_candidate(tried)  # the proven route may have more cookies
            self._routes.put(verification.route)
            if existing is None or not _differs_too_little(existing, verification.route):
                self._save_route(verification.route)
            if existing is None or existing.state is not RouteState.PROVEN:
                self.proven += 1
                self._log.info("route to {node} of {site} is proven", node=node, site=site)
                self.on_proven(node)
            if self._has_fresh_route(node):
                self._notify_waiters(node)
            return
        self._routes.mark_missed(site, node, self._now())
        self._routes.drop_candidate(tried)
        if verification.other_node:
            self._routes.mark_misleading(site, node, tried.cookies, self._now())
        if existing is not None and (verification.other_node or existing.state is RouteState.CANDIDATE):
            changed = self._routes.mark_stale(site, node, tried.cookies)
            if changed is not None:
                self._save_route(changed)


def _differs_too_little(kept: Route, newer: Route) -> bool:
    """Whether saving again is not worth a write: ``proven_at`` is stored to the minute."""
    same = (kept.cookies, kept.state, kept.expires_at) == (newer.cookies, newer.state, newer.expires_at)
    return same and (newer.proven_at or 0.0) - (kept.proven_at or 0.0) < _MIN_SAVE_INTERVAL_SECONDS

"""Routing cookies of the crawler's own: asked of the balancer without a cookie, verified by replay, kept per node.

``whoami`` sets none of the application's cookies, so every ``Set-Cookie`` of its answer comes from a balancer;
the proof says which node answered. One campaign at a time for each site; it serves all who wait for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lbcompanion.crawler.client import FetchFailed
from lbcompanion.crawler.fetcher import Seen, SiteFetcher, Way, cookie_header
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, Routes, RouteState

#: Replays that must all reach the node before a cookie counts as proven: one could be luck.
VERIFY_REPLAYS = 2

_DELETES = re.compile(r"\s*max-age\s*=\s*(0+|-[0-9]+)\s*", re.ASCII | re.IGNORECASE)

_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 30.0
_BARE_ANSWERS = 3
_MAX_FAILURES = 3


class Reader(Protocol):
    """What reads routing cookies: :class:`lbcompanion.sticky.reader.CookieReader`."""

    def read(self, cookies: dict[str, str], /) -> tuple[RoutingCookie, ...]:
        """Cut cookies down to their routing part."""
        ...


def budget(nodes: int) -> int:
    """Probes for one campaign: three times what a random balancer takes on average to show all its nodes (n H(n))."""
    return ceil(3 * nodes * sum(1 / k for k in range(1, nodes + 1))) + 10


def handed_out(set_cookies: tuple[str, ...]) -> dict[str, str]:
    """The cookies that ``Set-Cookie`` lines hand out: raw values, deletions left out (RFC 6265 section 5.2)."""
    found: dict[str, str] = {}
    for line in set_cookies:
        pair, *attributes = line.split(";")
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if (
            not equals
            or not name
            or not value
            or any(_DELETES.fullmatch(each) for each in attributes)
            or not _sendable(name, value)
        ):
            continue
        found[name] = value
    return found


def _sendable(name: str, value: str) -> bool:
    try:
        cookie_header((RoutingCookie(name, value),))
    except FetchFailed:
        return False
    return True


class Minter:
    """Mints for one site.

    :param keep: told of every route that changed, to keep it durably.
    :param now: the time, seconds since the epoch.
    :param invent: gives a new text without meaning, for a key of our own where a cookie's hash decides.
    """

    def __init__(
        self,
        fetcher: SiteFetcher,
        reader: Reader,
        routes: Routes,
        keep: Callable[[Route], object],
        now: Callable[[], float],
        invent: Callable[[], str],
    ) -> None:
        self._fetcher = fetcher
        self._site = fetcher.site
        self._reader = reader
        self._routes = routes
        self._keep = keep
        self._now = now
        self._invent = invent
        self._wanted: set[str] = set()
        self._waiting: list[Deferred[None]] = []
        self._running = False
        self._not_before: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        self._log = Logger()
        #: What happened, for the metrics: how many probes were sent, how many routes were proven.
        self.probes = 0
        self.proven = 0

    def may_mint(self, node: str) -> bool:
        """Whether a campaign for this node is worth it now: no back-off is running."""
        return self._now() >= self._not_before.get(node, 0.0)

    def mint(self, node: str) -> Deferred[None]:
        """Try to get a route to a node; fires when the campaign is over, found or not."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._wanted.add(node)
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._campaign()).addBoth(self._over)
        return done

    def _over(self, result: object) -> None:
        self._running = False
        for node in self._wanted:
            if self._usable(node):
                self._waits.pop(node, None)
            else:
                wait = self._waits.get(node, _FIRST_WAIT_SECONDS)
                self._not_before[node] = self._now() + wait
                self._waits[node] = min(wait * 2, _LONGEST_WAIT_SECONDS)
        if result is not None:
            self._log.error("minting for {site} failed: {why!r}", site=self._site.name, why=result)
        self._wanted.clear()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    def _usable(self, node: str) -> bool:
        route = self._routes.of(self._site.name, node)
        return route is not None and route.state is RouteState.PROVEN

    def _missing(self) -> set[str]:
        return {node for node in self._wanted if not self._usable(node)}

    async def _campaign(self) -> None:
        await self._retry_stale()
        known = self._routes.nodes(self._site.name) | frozenset(self._site.nodes) | self._wanted
        bare = failures = 0
        for _ in range(budget(len(known))):
            if not self._missing() or failures >= _MAX_FAILURES:
                return
            invented = self._invented() if bare >= _BARE_ANSWERS else ()
            if bare >= _BARE_ANSWERS and not invented:
                return
            try:
                seen = await self._probe(Way(invented))
            except FetchFailed:
                failures += 1
                continue
            given = handed_out(seen.set_cookies)
            bare += not given
            if not self._usable(seen.node):
                await self._learn(seen, given, invented)

    async def _retry_stale(self) -> None:
        """A node that was away for a while is mostly back under its old value; one that drains takes no other."""
        for node in self._missing():
            route = self._routes.of(self._site.name, node)
            if route is not None and await self._verified(node, route.cookies):
                self._proved(node, route.cookies)

    def _invented(self) -> tuple[RoutingCookie, ...]:
        """A key of our own under the configured name, where no balancer hands a cookie out."""
        names = [name for name in self._site.sticky.cookies if not name.startswith("/")]
        return tuple(RoutingCookie(name, self._invent()) for name in names[:1])

    async def _probe(self, way: Way) -> Seen:
        self.probes += 1
        seen = await self._fetcher.whoami(way)
        self._routes.saw(self._site.name, seen.node, self._now())
        return seen

    async def _learn(self, seen: Seen, given: dict[str, str], invented: tuple[RoutingCookie, ...]) -> None:
        for cookies, dialect in self._candidates(given, invented):
            route = Route(self._site.name, seen.node, cookies, dialect, RouteState.CANDIDATE, self._now())
            self._keep(self._routes.learnt(route))
            if await self._verified(seen.node, cookies):
                self._proved(seen.node, cookies)
                return
        route_left = self._routes.of(self._site.name, seen.node)
        if route_left is not None and route_left.state is RouteState.CANDIDATE:
            changed = self._routes.went_stale(self._site.name, seen.node, route_left.cookies)
            if changed is not None:
                self._keep(changed)

    def _candidates(
        self, given: dict[str, str], invented: tuple[RoutingCookie, ...]
    ) -> list[tuple[tuple[RoutingCookie, ...], str]]:
        """What might stick, the smallest first: the routing part, then everything that was handed out."""
        dialect = self._site.sticky.dialect
        found = [
            (self._reader.read(given) if given else (), "" if dialect == "auto" else dialect),
            (tuple(RoutingCookie(name, value) for name, value in given.items()), ""),
            (invented, "generic"),
        ]
        distinct: list[tuple[tuple[RoutingCookie, ...], str]] = []
        for cookies, name in found:
            if cookies and all(cookies != other for other, _ in distinct):
                distinct.append((cookies, name))
        return distinct

    async def _verified(self, node: str, cookies: tuple[RoutingCookie, ...]) -> bool:
        for _ in range(VERIFY_REPLAYS):
            try:
                seen = await self._probe(Way(cookies))
            except FetchFailed:
                return False
            if seen.node != node:
                return False
        return True

    def _proved(self, node: str, cookies: tuple[RoutingCookie, ...]) -> None:
        self.proven += 1
        changed = self._routes.proved(self._site.name, node, cookies, self._now())
        if changed is not None:
            self._keep(changed)
        self._log.info("route to {node} of {site} is proven", node=node, site=self._site.name)

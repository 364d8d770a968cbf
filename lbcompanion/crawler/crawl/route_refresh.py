"""Keeps the crawler's own routes warm while notices come: proven anew before a fetch needs them, refreshed before they
end, and minted again for nodes that lost theirs. At a gentle rate, and never while nobody visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.crawl.rounds import SiteCrew
from lbcompanion.model import RouteKind, WallClock
from lbcompanion.sticky.routes import Routes, RouteState

#: One look at one site, which sends one probe at most, unless a cookie has to be minted.
LOOK_SECONDS = 1.0
#: How old a proof may become, in seconds, of a node that pages come from.
REPROVE_SECONDS = 15.0
#: How often it is tried, in seconds, whether a route that led elsewhere leads to its node again.
RETURN_SECONDS = 3.0
#: For how long after a notice its node's route is kept warm, in seconds.
LIVELY_SECONDS = 300.0


class Warmth:
    """Looks after the routes of all sites.

    :param crews: by site name.
    :param reactor: for the time between two looks.
    :param now: seconds since the epoch.
    """

    def __init__(self, *, crews: Mapping[str, SiteCrew], routes: Routes, reactor: IReactorTime, now: WallClock) -> None:
        self._crews = crews
        self._routes = routes
        self._reactor = reactor
        self._now = now
        self._lively: dict[tuple[str, str], float] = {}
        self._looked_at: dict[tuple[str, str], float] = {}
        self._busy: dict[str, Deferred[Any]] = {}
        self._next: IDelayedCall | None = None
        self._stopped = False
        self._log = Logger(namespace="lbcompanion.crawler.warmth")

    def noticed(self, site: str, node: str) -> None:
        """A page of the node's was viewed: its route is worth keeping for a while."""
        if site in self._crews and RouteKind.OWN.value in self._crews[site].settings.ladder:
            self._lively[site, node] = self._now()
            self._wind_up()

    def stop(self) -> None:
        """Do nothing more; a probe that is under way is given up."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        for busy in list(self._busy.values()):
            busy.cancel()

    def _wind_up(self) -> None:
        if not self._stopped and (self._next is None or not self._next.active()):
            self._next = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self._now()
        self._lively = {key: when for key, when in self._lively.items() if 0 <= now - when < LIVELY_SECONDS}
        self._looked_at = {key: when for key, when in self._looked_at.items() if key in self._lively}
        for site in {site for site, _ in self._lively} - self._busy.keys():
            work = self._most_urgent(site)
            if work is not None:
                self._begin(site, work)
        if self._lively:
            self._wind_up()

    def _begin(self, site: str, node: str) -> None:
        self._looked_at[site, node] = self._now()
        working = Deferred.fromCoroutine(self._look_after(site, node))
        if not working.called:
            self._busy[site] = working
        working.addErrback(self._failed)
        working.addBoth(self._done, site)

    def _done(self, _result: object, site: str) -> None:
        self._busy.pop(site, None)

    def _failed(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self._log.failure("looking after a route failed", failure=failure)

    def _most_urgent(self, site: str) -> str | None:
        """The node whose route was looked at the longest ago, of those whose route is due."""
        due = [node for where, node in self._lively if where == site and self._is_due(site, node)]
        return min(due, key=lambda node: (self._looked_at.get((site, node), 0.0), node), default=None)

    def _is_due(self, site: str, node: str) -> bool:
        now = self._now()
        route = self._routes.get(site, node)
        if route is None or route.state is not RouteState.PROVEN or route.wants_refresh(now):
            minter = self._crews[site].minter
            return (minter.may_mint(node) or self._may_be_back(site, node)) and not minter.busy
        since = max(route.proven_at or 0.0, self._looked_at.get((site, node), 0.0))
        return now - since >= REPROVE_SECONDS

    def _may_be_back(self, site: str, node: str) -> bool:
        """Whether its route led to it once, and not now: a node that was away is mostly back under its old value."""
        now, route = self._now(), self._routes.current(site, node, self._now())
        was_proven = route is not None and route.state is RouteState.STALE and route.proven_at is not None
        lives = route is not None and not route.has_expired(now)
        return was_proven and lives and now - self._looked_at.get((site, node), 0.0) >= RETURN_SECONDS

    async def _look_after(self, site: str, node: str) -> None:
        minter = self._crews[site].minter
        route = self._routes.get(site, node)
        if route is None or route.state is not RouteState.PROVEN or route.wants_refresh(self._now()):
            if not minter.may_mint(node):
                await minter.reprove(node)
                return
            await minter.mint(node)
        else:
            await minter.reprove(node)

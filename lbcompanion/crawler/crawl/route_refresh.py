"""Keeps the crawler's own routes usable while notices arrive.

Verifies routes again before a fetch needs them, refreshes cookies before they expire, and mints again for nodes
without a route. The rate is limited, and nothing is sent while no notices arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.crawl.round_runner import SiteContext
from lbcompanion.model import RouteKind, WallClock
from lbcompanion.sticky.routes import Routes, RouteState

#: Interval of the checks of a site. A check sends one probe at most, unless a cookie has to be minted.
CHECK_SECONDS = 1.0
#: A route of an active node is verified again when its last verification is this many seconds old.
REVERIFY_SECONDS = 15.0
#: Interval in seconds at which a stale route is tried again.
RETRY_STALE_SECONDS = 3.0
#: For how many seconds after a notice its node counts as active.
ACTIVE_SECONDS = 300.0


class RouteRefresher:
    """Refreshes the routes of all sites.

    :param contexts: by site name.
    :param reactor: for the timer of the checks.
    :param now: seconds since the epoch.
    """

    def __init__(
        self, *, contexts: Mapping[str, SiteContext], routes: Routes, reactor: IReactorTime, now: WallClock
    ) -> None:
        self._contexts = contexts
        self._routes = routes
        self._reactor = reactor
        self._now = now
        self._active: dict[tuple[str, str], float] = {}
        self._checked_at: dict[tuple[str, str], float] = {}
        self._busy: dict[str, Deferred[Any]] = {}
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self._log = Logger(namespace="lbcompanion.crawler.warmth")

    def mark_active(self, site: str, node: str) -> None:
        """Count the node as active from now on: one of its pages was viewed."""
        if site in self._contexts and RouteKind.OWN.value in self._contexts[site].settings.ladder:
            self._active[site, node] = self._now()
            self._schedule()

    def stop(self) -> None:
        """Stop the checks and cancel running probes."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for busy in list(self._busy.values()):
            busy.cancel()

    def _schedule(self) -> None:
        if not self._stopped and (self._timer is None or not self._timer.active()):
            self._timer = self._reactor.callLater(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        now = self._now()
        self._active = {key: when for key, when in self._active.items() if 0 <= now - when < ACTIVE_SECONDS}
        self._checked_at = {key: when for key, when in self._checked_at.items() if key in self._active}
        if self._active:
            self._schedule()  # first, because a defect below must not end the checks
        for site in {site for site, _ in self._active} - self._busy.keys():
            node = self._most_urgent(site)
            if node is not None:
                self._start_refresh(site, node)

    def _start_refresh(self, site: str, node: str) -> None:
        self._checked_at[site, node] = self._now()
        refreshing = Deferred.fromCoroutine(self._refresh(site, node))
        if not refreshing.called:
            self._busy[site] = refreshing
        refreshing.addErrback(self._failed)
        refreshing.addBoth(self._done, site)

    def _done(self, _result: object, site: str) -> None:
        self._busy.pop(site, None)

    def _failed(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self._log.failure("looking after a route failed", failure=failure)

    def _most_urgent(self, site: str) -> str | None:
        """Return the node with a due route that was checked longest ago."""
        due = [node for where, node in self._active if where == site and self._is_due(site, node)]
        return min(due, key=lambda node: (self._checked_at.get((site, node), 0.0), node), default=None)

    def _is_due(self, site: str, node: str) -> bool:
        now = self._now()
        route = self._routes.get(site, node)
        if route is None or route.state is not RouteState.PROVEN or route.wants_refresh(now):
            minter = self._contexts[site].minter
            return (minter.may_mint(node) or self._may_be_back(site, node)) and not minter.busy
        since = max(route.proven_at or 0.0, self._checked_at.get((site, node), 0.0))
        return now - since >= REVERIFY_SECONDS

    def _may_be_back(self, site: str, node: str) -> bool:
        """Whether to try a stale route again: a node that was down usually returns with its old cookie value."""
        now, route = self._now(), self._routes.current(site, node, self._now())
        was_proven = route is not None and route.state is RouteState.STALE and route.proven_at is not None
        unexpired = route is not None and not route.has_expired(now)
        return was_proven and unexpired and now - self._checked_at.get((site, node), 0.0) >= RETRY_STALE_SECONDS

    async def _refresh(self, site: str, node: str) -> None:
        minter = self._contexts[site].minter
        route = self._routes.get(site, node)
        if route is None or route.state is not RouteState.PROVEN or route.wants_refresh(self._now()):
            if not minter.may_mint(node):
                await minter.reverify(node)
                return
            await minter.mint(node)
        else:
            await minter.reverify(node)

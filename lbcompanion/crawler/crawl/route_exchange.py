"""Takes over the routes that other crawlers of a shared queue have learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.routes.visitor_cookies import is_trusted
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.routes import Route, Routes, RouteState


class RouteExchange:
    """The exchange of one crawler.

    :param on_proven: called with a node whose route became proven.
    """

    def __init__(
        self,
        table: RouteTable,
        routes: Routes,
        sites: Mapping[str, SiteSettings],
        on_proven: Callable[[str], object],
    ) -> None:
        self._table = table
        self._routes = routes
        self._sites = sites
        self._on_proven = on_proven

    def load(self) -> list[Route]:
        """Read the stored routes that this crawler may use; blocking."""
        return [route for route in self._table.load() if is_trusted(route, self._sites.get(route.site))]

    def take_over(self, stored: list[Route]) -> None:
        """Use the stored routes that are newer than this crawler's own ones."""
        for route in stored:
            own = self._routes.get(route.site, route.node)
            if not is_newer(route, own):
                continue
            self._routes.put(route)
            if route.state is RouteState.PROVEN and (own is None or own.state is not RouteState.PROVEN):
                self._on_proven(route.node)


def is_newer(stored: Route, own: Route | None) -> bool:
    """Whether a stored route says more than the crawler's own one to the same node."""
    if own is None:
        return True
    stored_at, own_at = stored.proven_at or 0.0, own.proven_at or 0.0
    if stored_at != own_at:
        return stored_at > own_at
    if stored.cookies == own.cookies:
        return stored.state is RouteState.STALE and own.state is not RouteState.STALE
    return own.state is not RouteState.PROVEN and stored.learnt_at > own.learnt_at

"""What was learnt about reaching each node: routes as values, and the table of them. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from attrs import evolve, frozen

from lbcompanion.model import RoutingCookie

#: How long a cookie that led to a wrong node is passed over, in seconds: its node may be back after that.
MISLED_SECONDS = 30.0

#: How long a proven answer says that its node is up, in seconds.
UP_SECONDS = 20.0

_MAX_MISLED = 4096


class RouteState(Enum):
    """How much a route is worth."""

    CANDIDATE = "candidate"
    PROVEN = "proven"
    STALE = "stale"


@frozen
class Route:
    """A routing cookie of the crawler's own for one node of one site.

    :ivar cookies: what to send through the balancer.
    :ivar dialect: the dialect that the cookies were read by; empty where they are kept whole.
    :ivar learnt_at: when the balancer handed the cookies out, seconds since the epoch.
    :ivar proven_at: when a replay last reached the node, proven; None: never.
    """

    site: str
    node: str
    cookies: tuple[RoutingCookie, ...]
    dialect: str
    state: RouteState
    learnt_at: float
    proven_at: float | None = None


class Routes:
    """The table of the crawler's own routes, one per site and node, and what else was learnt on the way.

    Methods that change a route give the new one back, so that the caller can keep it durably.
    """

    def __init__(self, known: Iterable[Route] = ()) -> None:
        self._routes = {(route.site, route.node): route for route in known}
        self._misled: dict[tuple[str, str, tuple[RoutingCookie, ...]], float] = {}
        self._seen: dict[tuple[str, str], float] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(sorted(self._routes.values(), key=lambda route: (route.site, route.node)))

    def of(self, site: str, node: str) -> Route | None:
        """The route to a node, in whatever state; None where there is none."""
        return self._routes.get((site, node))

    def nodes(self, site: str) -> frozenset[str]:
        """All nodes of a site that gave a proven answer or have a route."""
        return frozenset(node for where, node in (*self._routes, *self._seen) if where == site)

    def learnt(self, route: Route) -> Route:
        """Put a route in the place of what was known of its node."""
        self._routes[route.site, route.node] = route
        return route

    def proved(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> Route | None:
        """A replay of ``cookies`` reached the node; None where that is not the route in the table."""
        return self._turn(site, node, cookies, RouteState.PROVEN, now)

    def went_stale(self, site: str, node: str, cookies: tuple[RoutingCookie, ...]) -> Route | None:
        """A replay of ``cookies`` reached another node; None where that is not the route in the table."""
        return self._turn(site, node, cookies, RouteState.STALE, None)

    def _turn(
        self, site: str, node: str, cookies: tuple[RoutingCookie, ...], state: RouteState, proven_at: float | None
    ) -> Route | None:
        route = self._routes.get((site, node))
        if route is None or route.cookies != cookies:
            return None
        return self.learnt(evolve(route, state=state, proven_at=route.proven_at if proven_at is None else proven_at))

    def saw(self, site: str, node: str, now: float) -> None:
        """The node gave a proven answer."""
        self._seen[site, node] = now

    def is_up(self, site: str, node: str, now: float) -> bool:
        """Whether the node gave a proven answer within the last :data:`UP_SECONDS`."""
        seen = self._seen.get((site, node))
        return seen is not None and 0 <= now - seen <= UP_SECONDS

    def went_down(self, site: str, node: str) -> None:
        """Something that should have reached the node did not: it is not known to be up any more."""
        seen = self._seen.get((site, node))
        if seen is not None:
            self._seen[site, node] = seen - UP_SECONDS - 1

    def mislead(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> None:
        """These cookies were meant for the node and led to another one."""
        if len(self._misled) >= _MAX_MISLED:
            self._misled = {key: when for key, when in self._misled.items() if now - when < MISLED_SECONDS}
            if len(self._misled) >= _MAX_MISLED:
                self._misled.clear()
        self._misled[site, node, cookies] = now

    def misled(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> bool:
        """Whether these cookies led elsewhere within the last :data:`MISLED_SECONDS`."""
        when = self._misled.get((site, node, cookies))
        return when is not None and 0 <= now - when < MISLED_SECONDS

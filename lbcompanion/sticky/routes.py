"""What was learnt about reaching each node: routes as values, and the table of them. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice

from attrs import evolve, field, frozen

from lbcompanion.model import RoutingCookie

#: How long a cookie that led to a wrong node is passed over, in seconds: its node may be back after that.
MISLED_SECONDS = 30.0

#: How long a proven answer says that its node is up, in seconds.
UP_SECONDS = 20.0

#: A cookie that ends is made anew while this share of its life is left, but for cookies of a very long life.
REFRESH_SHARE = 0.25
REFRESH_SECONDS = 120.0

#: For how long it is remembered, in seconds, that the cookies of some names led elsewhere.
DOUBT_SECONDS = 600.0
#: For each that led elsewhere, how many must have led home for their names to be trusted all the same.
_HELPED_FOR_EACH = 4

_MAX_MISLED = 4096
#: How many guesses from traffic are remembered for one node.
_MAX_HINTS = 3


class RouteState(Enum):
    """How much a route is worth."""

    CANDIDATE = "candidate"
    PROVEN = "proven"
    STALE = "stale"


class Source(Enum):
    """Where a route's cookies come from."""

    MINTED = "minted"  # handed out by the balancer to the crawler
    INVENTED = "invented"  # a key of the crawler's own that turned out to lead there
    SESSION = "session"  # a session of the crawler's own at the application
    TRAFFIC = "traffic"  # recorded for a visitor of the node: a node's value, nobody's in particular

    @property
    def guessed(self) -> bool:
        """Whether no balancer handed them out, so that their reaching a node once may be chance."""
        return self is not Source.MINTED


_HANDED_OUT = frozenset({Source.MINTED, Source.SESSION})


@frozen
class Route:
    """A routing cookie of the crawler's own for one node of one site.

    :ivar cookies: what to send through the balancer.
    :ivar dialect: the dialects that the cookies were read by; empty where they are kept whole.
    :ivar learnt_at: when the balancer handed the cookies out, seconds since the epoch.
    :ivar proven_at: when a replay last reached the node, proven; None: never.
    :ivar expires_at: when the balancer said that the first of the cookies ends; None: it did not say.
    """

    site: str
    node: str
    cookies: tuple[RoutingCookie, ...] = field(repr=False)
    dialect: str
    state: RouteState
    learnt_at: float
    proven_at: float | None = None
    expires_at: float | None = None
    source: Source = Source.MINTED

    def has_expired(self, now: float) -> bool:
        """Whether the cookies' time is over."""
        return self.expires_at is not None and now >= self.expires_at

    def wants_refresh(self, now: float) -> bool:
        """Whether it is time to get new cookies, before these end."""
        if self.expires_at is None:
            return False
        ahead = min(REFRESH_SECONDS, (self.expires_at - self.learnt_at) * REFRESH_SHARE)
        return now >= self.expires_at - ahead


@frozen
class _Replayed:
    """What came of the replays of visitors' cookies of some names."""

    helped: int = 0
    in_vain: int = 0
    when: float = 0.0

    def at(self, now: float) -> _Replayed:
        """What of it still counts."""
        return self if 0 <= now - self.when < DOUBT_SECONDS else _Replayed()


class Routes:
    """The table of the crawler's own routes, one per site and node, and what else was learnt on the way.

    Methods that change a route give the new one back, so that the caller can keep it durably.
    """

    def __init__(self, known: Iterable[Route] = ()) -> None:
        self._routes = {(route.site, route.node): route for route in known}
        self._misled: dict[tuple[str, str, tuple[RoutingCookie, ...]], float] = {}
        self._seen: dict[tuple[str, str], float] = {}
        self._hints: dict[tuple[str, str], tuple[Route, ...]] = {}
        self._replayed: dict[tuple[str, frozenset[str]], _Replayed] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(sorted(self._routes.values(), key=lambda route: (route.site, route.node)))

    def of(self, site: str, node: str) -> Route | None:
        """The route to a node, in whatever state; None where there is none."""
        return self._routes.get((site, node))

    def current(self, site: str, node: str, now: float) -> Route | None:
        """The route to a node as it stands at this moment: one whose cookies have run out is stale."""
        route = self.of(site, node)
        return evolve(route, state=RouteState.STALE) if route is not None and route.has_expired(now) else route

    def examples(self, site: str, most: int = 3) -> tuple[Route, ...]:
        """A few proven routes of a site, whichever come first: enough to see a rule in, of any number."""
        proven = (route for route in self._routes.values() if route.site == site and route.state is RouteState.PROVEN)
        return tuple(islice(proven, most))

    def nodes(self, site: str) -> frozenset[str]:
        """All nodes of a site that gave a proven answer or have a route."""
        return frozenset(node for where, node in (*self._routes, *self._seen) if where == site)

    def learnt(self, route: Route) -> Route:
        """Put a route in the place of what was known of its node."""
        self._routes[route.site, route.node] = route
        self.drop_hint(route)
        if route.state is RouteState.PROVEN:
            self._misled.pop((route.site, route.node, route.cookies), None)
        return route

    def hint(self, route: Route, now: float) -> Route | None:
        """Take a guess at a route, which a replay may prove later. It never takes the place of a route that was proven
        once, nor is it taken where it is known to be another node's: while a node is down, others are sent its cookies.

        :param route: a candidate.
        :returns: it, where it became the node's route, to be kept; None where it did not.
        """
        site, node, there = route.site, route.node, self.of(route.site, route.node)
        if self._is_anothers(route) or self.misled(site, node, route.cookies, now):
            return None
        if there is None:
            return self.learnt(route)
        if there.cookies != route.cookies and all(one.cookies != route.cookies for one in self.hints(site, node)):
            self._hints[site, node] = (*self.hints(site, node), route)[-_MAX_HINTS:]
        return None

    def hints(self, site: str, node: str) -> tuple[Route, ...]:
        """The guesses at a route to the node that were not tried yet."""
        return self._hints.get((site, node), ())

    def drop_hint(self, route: Route) -> None:
        """A guess was tried, or came true."""
        left = tuple(one for one in self.hints(route.site, route.node) if one.cookies != route.cookies)
        if left:
            self._hints[route.site, route.node] = left
        else:
            self._hints.pop((route.site, route.node), None)

    def _is_anothers(self, route: Route) -> bool:
        return any(
            other.cookies == route.cookies and other.proven_at is not None
            for (site, node), other in self._routes.items()
            if site == route.site and node != route.node
        )

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

    def came_of_recorded(self, site: str, cookies: Iterable[RoutingCookie], helped: bool, now: float) -> None:
        """A visitor's cookies were replayed.

        :param helped: whether they led where they should; else another node gave a proven answer.
        """
        key = site, frozenset(cookie.name for cookie in cookies)
        if key in self._replayed or len(self._replayed) < _MAX_MISLED:
            before = self._replayed.get(key, _Replayed()).at(now)
            self._replayed[key] = _Replayed(before.helped + helped, before.in_vain + (not helped), now)

    def doubts(self, site: str, node: str, cookies: Iterable[RoutingCookie], now: float, after: int = 2) -> bool:
        """Whether cookies of these names, though a dialect claims them, are hardly what this balancer goes by: many of
        them led elsewhere lately, or one that our own route needs is not among them, of those handed out to anybody.

        :param after: how many must have led elsewhere.
        """
        names = frozenset(cookie.name for cookie in cookies)
        told = self._replayed.get((site, names), _Replayed()).at(now)
        if told.in_vain >= after and told.helped < _HELPED_FOR_EACH * told.in_vain:
            return True
        own = self.of(site, node)
        handed = own is not None and own.state is RouteState.PROVEN and own.source in _HANDED_OUT
        return handed and own is not None and not {cookie.name for cookie in own.cookies} <= names

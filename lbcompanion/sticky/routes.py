"""Routes to nodes, and the table of them. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice

from attrs import evolve, field, frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.node_cookie_values import NodeCookieValues

#: How long a cookie that led to a wrong node is passed over, in seconds: its node may be back after that.
MISLEADING_SECONDS = 30.0

#: For how many seconds a proven answer shows that its node is alive.
ALIVE_SECONDS = 20.0

#: For how many seconds a replay that reached its node shows that the balancer sends the node's visitors there. This is
#: short: a balancer can set a node into maintenance at any time. It suffices from one step of a round to the next.
REACHED_SECONDS = 2.0

#: A cookie is refreshed when this share of its lifetime is left, at most REFRESH_SECONDS before it expires.
REFRESH_SHARE = 0.25
REFRESH_SECONDS = 120.0

#: For how long it is remembered, in seconds, that the cookies of some names led elsewhere.
DOUBT_SECONDS = 600.0
#: A doubted name is trusted if at least this many replays reached the node for each one that led elsewhere.
_SUCCESSES_PER_FAILURE = 4

_MAX_MISLEADING = 4096
#: How many guesses from traffic are remembered for one node.
_MAX_CANDIDATES = 3


class RouteState(Enum):
    """How far a route is proven."""

    CANDIDATE = "candidate"
    PROVEN = "proven"
    STALE = "stale"


class Source(Enum):
    """The origin of a route's cookies."""

    MINTED = "minted"  # handed out by the balancer to the crawler
    INVENTED = "invented"  # a key of the crawler's own that turned out to lead there
    SESSION = "session"  # a session of the crawler's own at the application
    TRAFFIC = "traffic"  # recorded for a visitor of the node: a value of the node, not of one visitor

    @property
    def guessed(self) -> bool:
        """Whether no balancer handed them out, so that their reaching a node once may be chance."""
        return self is not Source.MINTED


_SET_BY_SERVERS = frozenset({Source.MINTED, Source.SESSION})


@frozen
class Route:
    """A routing cookie of the crawler's own for one node of one site.

    :ivar cookies: what to send through the balancer.
    :ivar dialect: the dialects that the cookies were read by; empty where they are kept whole.
    :ivar learnt_at: when the balancer handed the cookies out, seconds since the epoch.
    :ivar proven_at: when a replay last reached the node with proof; None if that never happened.
    :ivar expires_at: the earliest expiry time of the cookies; None if they are session cookies.
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
class _ReplayCounts:
    """Counts of replays of visitors' cookies of one set of names."""

    succeeded: int = 0
    failed: int = 0
    when: float = 0.0

    def unless_expired(self, now: float) -> _ReplayCounts:
        """The counts, or zeros if they are outdated."""
        return self if 0 <= now - self.when < DOUBT_SECONDS else _ReplayCounts()


def _is_recent(when: float | None, now: float, seconds: float) -> bool:
    """Whether a time is at most ``seconds`` ago; the clock may have been set back since."""
    return when is not None and 0 <= now - when <= seconds


class Routes:
    """The table of the crawler's own routes, one per site and node, and what else was learnt on the way.

    Methods that change a route give the new one back, so that the caller can keep it durably.
    """

    def __init__(self, known: Iterable[Route] = ()) -> None:
        self._routes = {(route.site, route.node): route for route in known}
        self._misleading: dict[tuple[str, str, tuple[RoutingCookie, ...]], float] = {}
        self._alive_at: dict[tuple[str, str], float] = {}
        self._reached_at: dict[tuple[str, str], float] = {}
        self._missed_at: dict[tuple[str, str], float] = {}
        self._candidates: dict[tuple[str, str], tuple[Route, ...]] = {}
        self._replay_counts: dict[tuple[str, frozenset[str]], _ReplayCounts] = {}
        #: What the notices of many visitors show.
        self.node_cookie_values = NodeCookieValues()

    def __iter__(self) -> Iterator[Route]:
        return iter(sorted(self._routes.values(), key=lambda route: (route.site, route.node)))

    def get(self, site: str, node: str) -> Route | None:
        """The route to a node in any state, or None."""
        return self._routes.get((site, node))

    def current(self, site: str, node: str, now: float) -> Route | None:
        """The current route to a node. A route whose cookies have expired is stale."""
        route = self.get(site, node)
        return evolve(route, state=RouteState.STALE) if route is not None and route.has_expired(now) else route

    def proven_examples(self, site: str, limit: int = 3) -> tuple[Route, ...]:
        """A few proven routes of a site, whichever come first: enough to see a rule in, of any number."""
        proven = (route for route in self._routes.values() if route.site == site and route.state is RouteState.PROVEN)
        return tuple(islice(proven, limit))

    def nodes(self, site: str) -> frozenset[str]:
        """All nodes of a site that gave a proven answer or have a route."""
        return frozenset(node for where, node in (*self._routes, *self._alive_at) if where == site)

    def put(self, route: Route) -> Route:
        """Replace the route stored for its node."""
        self._routes[route.site, route.node] = route
        self.drop_candidate(route)
        if route.state is RouteState.PROVEN:
            self._misleading.pop((route.site, route.node, route.cookies), None)
        return route

    def add_candidate(self, route: Route, now: float) -> Route | None:
        """Add an assumed route, which a replay may prove later.

        It never replaces a route that was proven once. It is refused if the cookies are known to lead to another node:
        while a node is down, other nodes receive its cookies.

        :returns: the route, to be stored, if it became the node's route; else None.
        """
        site, node, current = route.site, route.node, self.get(route.site, route.node)
        if self._is_proven_for_another_node(route) or self.is_misleading(site, node, route.cookies, now):
            return None
        if current is None:
            return self.put(route)
        if current.cookies != route.cookies and all(
            candidate.cookies != route.cookies for candidate in self.candidates(site, node)
        ):
            self._candidates[site, node] = (*self.candidates(site, node), route)[-_MAX_CANDIDATES:]
        return None

    def candidates(self, site: str, node: str) -> tuple[Route, ...]:
        """The guesses at a route to the node that were not tried yet."""
        return self._candidates.get((site, node), ())

    def has_untried(self, site: str, node: str, now: float) -> bool:
        """Whether there is a guess at a route to the node that no replay has tried yet."""
        route = self.get(site, node)
        guesses = [*self.candidates(site, node), *([route] if route is not None else [])]
        return any(guess.state is RouteState.CANDIDATE and not guess.has_expired(now) for guess in guesses)

    def forget_traffic(self, site: str, node: str) -> None:
        """Remove the route to a node if it comes from a visitor's cookie, and the candidates for it."""
        route = self.get(site, node)
        if route is not None and route.source is Source.TRAFFIC:
            del self._routes[site, node]
        self._candidates.pop((site, node), None)

    def drop_candidate(self, route: Route) -> None:
        """Remove a candidate that was tried or stored."""
        rest = tuple(
            candidate for candidate in self.candidates(route.site, route.node) if candidate.cookies != route.cookies
        )
        if rest:
            self._candidates[route.site, route.node] = rest
        else:
            self._candidates.pop((route.site, route.node), None)

    def _is_proven_for_another_node(self, route: Route) -> bool:
        return any(
            other.cookies == route.cookies and other.proven_at is not None
            for (site, node), other in self._routes.items()
            if site == route.site and node != route.node
        )

    def mark_proven(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> Route | None:
        """Note that a replay of ``cookies`` reached the node; None if they are not the stored route."""
        return self._set_state(site, node, cookies, RouteState.PROVEN, now)

    def mark_stale(self, site: str, node: str, cookies: tuple[RoutingCookie, ...]) -> Route | None:
        """Note that a replay of ``cookies`` reached another node; None if they are not the stored route."""
        return self._set_state(site, node, cookies, RouteState.STALE, None)

    def _set_state(
        self, site: str, node: str, cookies: tuple[RoutingCookie, ...], state: RouteState, proven_at: float | None
    ) -> Route | None:
        route = self._routes.get((site, node))
        if route is None or route.cookies != cookies:
            return None
        return self.put(evolve(route, state=state, proven_at=route.proven_at if proven_at is None else proven_at))

    def mark_alive(self, site: str, node: str, now: float) -> None:
        """Note that the node gave a proven answer, on any path."""
        self._alive_at[site, node] = now

    def is_alive(self, site: str, node: str, now: float) -> bool:
        """Whether the node gave a proven answer within the last :data:`ALIVE_SECONDS`. It may be in maintenance: this
        says nothing about where the balancer sends the node's visitors."""
        return _is_recent(self._alive_at.get((site, node)), now, ALIVE_SECONDS)

    def mark_reached(self, site: str, node: str, asked_at: float) -> None:
        """Note that the balancer sent a request with a routing cookie of the node to the node.

        :param asked_at: when the request was sent: what the balancer learnt afterwards is not in the answer.
        """
        self._reached_at[site, node] = max(asked_at, self._reached_at.get((site, node), asked_at))

    def mark_missed(self, site: str, node: str, now: float) -> None:
        """Note that a request that was meant for the node was answered by another one, or not at all."""
        self._missed_at[site, node] = now

    def is_reached(self, site: str, node: str, now: float, since: float = 0.0) -> bool:
        """Whether the balancer sends the node's visitors to it, as far as can be known: a request with a routing cookie
        of the node reached it within the last :data:`REACHED_SECONDS`, and was sent after the last one that did not.

        :param since: a request that was sent before this time does not count.
        """
        reached_at, missed_at = self._reached_at.get((site, node)), self._missed_at.get((site, node))
        if reached_at is None or reached_at < since or (missed_at is not None and reached_at <= missed_at):
            return False
        return _is_recent(reached_at, now, REACHED_SECONDS)

    def mark_misleading(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> None:
        """Note that these cookies were meant for the node but led to another one."""
        self._misleading.pop((site, node, cookies), None)
        if len(self._misleading) >= _MAX_MISLEADING:
            del self._misleading[next(iter(self._misleading))]
        self._misleading[site, node, cookies] = now

    def is_misleading(self, site: str, node: str, cookies: tuple[RoutingCookie, ...], now: float) -> bool:
        """Whether these cookies led elsewhere within the last :data:`MISLEADING_SECONDS`."""
        when = self._misleading.get((site, node, cookies))
        return when is not None and 0 <= now - when < MISLEADING_SECONDS

    def record_replay(self, site: str, cookies: Iterable[RoutingCookie], *, succeeded: bool, now: float) -> None:
        """Count a replay of a visitor's cookies.

        :param succeeded: whether they led to the right node; else another node gave a proven answer.
        """
        key = site, frozenset(cookie.name for cookie in cookies)
        # The key moves to the end: notices with names that a visitor made up push out the oldest counts only.
        before = self._replay_counts.pop(key, _ReplayCounts()).unless_expired(now)
        if len(self._replay_counts) >= _MAX_MISLEADING:
            del self._replay_counts[next(iter(self._replay_counts))]
        self._replay_counts[key] = _ReplayCounts(before.succeeded + succeeded, before.failed + (not succeeded), now)

    def is_doubtful(self, site: str, node: str, cookies: Iterable[RoutingCookie], now: float, after: int = 2) -> bool:
        """Whether the balancer probably does not route by cookies of these names, although a dialect recognises them.

        That is so if many replays led elsewhere recently, or if a cookie of the crawler's own proven route is missing.

        :param after: how many must have led elsewhere.
        """
        names = frozenset(cookie.name for cookie in cookies)
        counts = self._replay_counts.get((site, names), _ReplayCounts()).unless_expired(now)
        if counts.failed >= after and counts.succeeded < _SUCCESSES_PER_FAILURE * counts.failed:
            return True
        own = self.get(site, node)
        has_own_cookie = own is not None and own.state is RouteState.PROVEN and own.source in _SET_BY_SERVERS
        return has_own_cookie and own is not None and not {cookie.name for cookie in own.cookies} <= names

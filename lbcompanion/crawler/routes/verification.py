"""Verification of routes: replays cookies with ``whoami`` and reads the cookies that the balancer sets.

Cookies are taken only from responses of a proven node. They count as a route once replays have reached that node and
no other.
"""

from __future__ import annotations

from collections.abc import Set

from attrs import evolve, field, frozen

from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher, WhoamiReply
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.sticky.cookies import names_match, safe_to_send, set_cookie_pairs
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source
from lbcompanion.sticky.set_cookie import SetCookie, earliest_expiry, parse_set_cookies

#: Number of replays that must all reach the node before a cookie counts as proven: a single one may be chance.
VERIFY_REPLAYS = 2
#: Number of replays for a cookie that no balancer set: unknown cookies are spread over all nodes.
VERIFY_GUESS_REPLAYS = 4


@frozen
class Verification:
    """How the replays of one route ended.

    :ivar route: the proven route with the newest cookies; None if the verification failed.
    :ivar other_node: the node that answered instead; empty if none did.
    """

    route: Route | None = field(default=None, repr=False)
    other_node: str = ""


class RouteVerifier:
    """Checks through one site's balancer which node cookies lead to.

    :param now: the time, seconds since the epoch.
    """

    def __init__(self, *, fetcher: SiteFetcher, reader: CookieReader, routes: Routes, now: WallClock) -> None:
        self._fetcher = fetcher
        self._site = fetcher.site
        self._reader = reader
        self._routes = routes
        self._now = now
        #: The names of the cookies that each of the last replies to a request without a cookie has set.
        self._recurring: Set[str] = frozenset()
        #: Number of probes sent.
        self.probes = 0

    async def probe(self, fetch_path: FetchPath) -> WhoamiReply:
        """Ask which node answers, and note that it is alive.

        :raises FetchFailed: if no proven response came.
        """
        self.probes += 1
        reply = await self._fetcher.whoami(fetch_path)
        self._routes.mark_alive(self._site.name, reply.node, self._now())
        if not fetch_path.cookies:
            names = parse_set_cookies(reply.set_cookies, self._now()).keys()
            self._recurring = (self._recurring & names) or frozenset(names)
        return reply

    async def verify(self, route: Route, replays: int = 0) -> Verification:
        """Replay a route's cookies.

        If each reply sets a cookie that was not sent, it may be the one of a further tier, which chose at random; then
        the route is verified with that cookie, too. A firewall's cookie that is taken for one of a tier does no harm.

        :param replays: their number; 0 means by the source of the cookies.
        """
        verification, unsent = await self._replay(route, replays)
        whole = self._with_cookies(route, unsent) if unsent else None
        if whole is not None:
            verification, _ = await self._replay(whole)
            verification = evolve(verification, other_node="")  # says nothing about the cookies without the others
        return verification

    async def _replay(self, route: Route, replays: int = 0) -> tuple[Verification, dict[str, SetCookie]]:
        """Replay a route's cookies; return also the cookies of other names that every reply set."""
        guessed = route.source.guessed and (route.proven_at is None or route.state is not RouteState.PROVEN)
        wanted = replays or (VERIFY_GUESS_REPLAYS if guessed else VERIFY_REPLAYS)
        sent_names = {cookie.name for cookie in route.cookies}
        unsent: Set[str] = frozenset()
        number = 0
        while number < wanted:
            number += 1
            asked_at = self._now()
            try:
                reply = await self.probe(FetchPath(route.cookies))
            except FetchFailed:
                return Verification(), {}
            if reply.node != route.node:
                return Verification(other_node=reply.node), {}
            # The right node by chance: the balancer replaced the cookie that was sent.
            if self._reader.detects_move(route.cookies, reply.set_cookies) is True:
                return Verification(other_node=reply.node), {}
            names = self._set_names(reply, guessed=guessed) - sent_names
            newer = self.refresh_cookies(route, reply.set_cookies)
            if names or newer.cookies != route.cookies:
                # It may be a firewall that sets its own cookie on each reply. Such a cookie shows nothing.
                wanted = max(wanted, VERIFY_REPLAYS if replays else VERIFY_GUESS_REPLAYS)
            # A tier that missed its cookie sets it on each reply, under one name.
            unsent = names if number == 1 else unsent & names
            if unsent and number >= VERIFY_REPLAYS:
                return Verification(), self._values_of(unsent, reply, route, guessed=guessed)
            route = newer
        self._routes.mark_reached(self._site.name, route.node, asked_at)
        return Verification(evolve(route, state=RouteState.PROVEN, proven_at=self._now())), {}

    def _values_of(self, names: Set[str], reply: WhoamiReply, route: Route, *, guessed: bool) -> dict[str, SetCookie]:
        """The cookies of these names that a reply set, if a route may get them: a visitor's cookie is no route where
        the balancer sets another one."""
        received = parse_set_cookies(reply.set_cookies, self._now())
        if (guessed and route.source is Source.TRAFFIC) or not names <= received.keys():
            return {}
        return {name: one for name, one in received.items() if name in names}

    def _with_cookies(self, route: Route, more: dict[str, SetCookie]) -> Route | None:
        """Return the route with further cookies; None if they cannot be sent together."""
        cookies = (*route.cookies, *(RoutingCookie(name, one.value) for name, one in more.items()))
        if not safe_to_send(cookies):
            return None
        ends = [each for each in (route.expires_at, earliest_expiry(more.values())) if each is not None]
        return evolve(route, cookies=cookies, dialect="", learnt_at=self._now(), expires_at=min(ends, default=None))

    def _set_names(self, reply: WhoamiReply, *, guessed: bool) -> Set[str]:
        """The names of the cookies that a reply sets; those that it deletes count for a guessed cookie only."""
        if guessed:
            return set_cookie_pairs(reply.set_cookies).keys()
        return parse_set_cookies(reply.set_cookies, self._now()).keys()

    def refresh_cookies(self, route: Route, set_cookies: tuple[str, ...]) -> Route:
        """Return the route with the newest cookie values of a proven response of its node.

        Some balancers set a new value on every response and accept only the newest.
        """
        now = self._now()
        received = parse_set_cookies(set_cookies, now)
        wanted = {cookie.name for cookie in route.cookies}
        if not wanted & received.keys():
            return route
        whole = {
            **{one.name: one.value for one in route.cookies},
            **{n: h.value for n, h in received.items() if n in wanted},
        }
        cookies = self._reduce(whole) if route.dialect else tuple(RoutingCookie(n, v) for n, v in whole.items())
        if {cookie.name for cookie in cookies} != wanted:
            return route
        ends = _earliest_expiry(route, wanted, received)
        unchanged = cookies == route.cookies and ends == route.expires_at
        return route if unchanged else evolve(route, cookies=cookies, expires_at=ends, learnt_at=now)

    def _reduce(self, whole: dict[str, str]) -> tuple[RoutingCookie, ...]:
        return self._reader.read(whole)

    def candidates(
        self,
        node: str,
        set_cookies: tuple[str, ...],
        sent: tuple[RoutingCookie, ...] = (),
        source: Source = Source.MINTED,
        *,
        recurring: bool = False,
    ) -> list[Route]:
        """Return the routes that a proven response may give, smallest first: the routing cookies among those set, all
        cookies set, and the made-up cookies that were sent.

        :param source: the source of the cookies set.
        :param recurring: whether to try the cookies first whose names each reply without a cookie sets: others are a
            firewall's.
        """
        now = self._now()
        received = parse_set_cookies(set_cookies, now)
        if source is Source.SESSION:  # the application sets other cookies too; prefer the configured names
            received = {
                name: one for name, one in received.items() if names_match(self._site.sticky.cookies, name)
            } or received
        plain = {name: one.value for name, one in received.items()}
        read = self._reader.read(plain) if plain else ()
        whole = tuple(RoutingCookie(name, value) for name, value in plain.items())
        if source is Source.SESSION and self._reader.knows_names and not self._are_configured(whole):
            whole = ()
        found: list[Route] = []
        for cookies, dialect, origin in (
            (read, self.dialect_names(read), source),
            (tuple(cookie for cookie in whole if recurring and cookie.name in self._recurring), "", source),
            (whole, "", source),
            (sent, self.dialect_names(sent) or "generic", Source.INVENTED),
        ):
            if cookies and all(cookies != other.cookies for other in found):
                ends = earliest_expiry(received[one.name] for one in cookies if one.name in received)
                site = self._site.name
                found.append(Route(site, node, cookies, dialect, RouteState.CANDIDATE, now, None, ends, origin))
        return found

    def _are_configured(self, cookies: tuple[RoutingCookie, ...]) -> bool:
        return bool(cookies) and all(names_match(self._site.sticky.cookies, cookie.name) for cookie in cookies)

    def dialect_names(self, cookies: tuple[RoutingCookie, ...]) -> str:
        """Return the names of the cookies' dialects, joined by ``+`` if there are several."""
        found = [self._reader.dialect_of(cookie.name, cookie.value) for cookie in cookies]
        return "+".join(dict.fromkeys(dialect.name for dialect in found if dialect is not None))


def _earliest_expiry(route: Route, wanted: set[str], received: dict[str, SetCookie]) -> float | None:
    ends = earliest_expiry(one for name, one in received.items() if name in wanted)
    if wanted <= received.keys() or route.expires_at is None:
        return ends
    return route.expires_at if ends is None else min(ends, route.expires_at)

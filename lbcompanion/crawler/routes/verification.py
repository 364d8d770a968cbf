"""Proofs of routes: ``whoami`` through the balancer, replayed, and what the balancer hands out meanwhile.

A cookie is kept only from an answer whose node is proven, and counts as a route once replays of it have reached that
node and no other.
"""

from __future__ import annotations

from attrs import evolve, field, frozen

from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher, WhoamiReply
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.sticky.cookies import names_match, set_cookie_pairs
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source
from lbcompanion.sticky.set_cookie import SetCookie, earliest_expiry, parse_set_cookies

#: Replays that must all reach the node before a cookie counts as proven: one could be luck.
VERIFY_REPLAYS = 2
#: The same of a cookie that no balancer handed to us: one it does not know is spread, and may meet the node by chance.
VERIFY_GUESS_REPLAYS = 4


@frozen
class Verification:
    """How the replays of one route ended.

    :ivar route: the route, proven, with the newest cookies handed back; None where it did not hold.
    :ivar other_node: the node that answered instead; empty: none did.
    """

    route: Route | None = field(default=None, repr=False)
    other_node: str = ""


class RouteVerifier:
    """Asks one site's balancer which node a way leads to.

    :param now: the time, seconds since the epoch.
    """

    def __init__(self, *, fetcher: SiteFetcher, reader: CookieReader, routes: Routes, now: WallClock) -> None:
        self._fetcher = fetcher
        self._site = fetcher.site
        self._reader = reader
        self._routes = routes
        self._now = now
        #: How many probes were sent.
        self.probes = 0

    async def probe(self, fetch_path: FetchPath) -> WhoamiReply:
        """Ask which node answers.

        :raises FetchFailed: where no proven answer came.
        """
        self.probes += 1
        reply = await self._fetcher.whoami(fetch_path)
        self._routes.mark_up(self._site.name, reply.node, self._now())
        return reply

    async def verify(self, route: Route, replays: int = 0) -> Verification:
        """Replay a route's cookies.

        :param replays: how many; 0: as many as befit the source of its cookies.
        """
        guessed = route.source.guessed and (route.proven_at is None or route.state is not RouteState.PROVEN)
        for _ in range(replays or (VERIFY_GUESS_REPLAYS if guessed else VERIFY_REPLAYS)):
            try:
                reply = await self.probe(FetchPath(route.cookies))
            except FetchFailed:
                return Verification()
            if reply.node != route.node:
                return Verification(other_node=reply.node)
            # The right node by chance: the balancer says that the cookie sent is not the one for it.
            if self._reader.detects_move(route.cookies, reply.set_cookies) is True:
                return Verification(other_node=reply.node)
            # A balancer that hands out another cookie had nothing to go by in those that came.
            if guessed and not set_cookie_pairs(reply.set_cookies).keys() <= {cookie.name for cookie in route.cookies}:
                return Verification()
            route = self.refresh_cookies(route, reply.set_cookies)
        return Verification(evolve(route, state=RouteState.PROVEN, proven_at=self._now()))

    def refresh_cookies(self, route: Route, set_cookies: tuple[str, ...]) -> Route:
        """The route with what its node's proven answer handed back in the place of what was sent: some balancers write
        their cookies anew on every answer, and only the newest lasts."""
        now = self._now()
        handed = parse_set_cookies(set_cookies, now)
        wanted = {cookie.name for cookie in route.cookies}
        if not wanted & handed.keys():
            return route
        whole = {
            **{one.name: one.value for one in route.cookies},
            **{n: h.value for n, h in handed.items() if n in wanted},
        }
        cookies = self._reduce(whole) if route.dialect else tuple(RoutingCookie(n, v) for n, v in whole.items())
        if {cookie.name for cookie in cookies} != wanted:
            return route
        ends = _earliest_expiry(route, wanted, handed)
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
    ) -> list[Route]:
        """What a proven answer's cookies may be worth, the smallest first: the routing part, then everything that was
        handed out; or what we sent ourselves, where it was our own invention.

        :param source: of what was handed out.
        """
        now = self._now()
        handed = parse_set_cookies(set_cookies, now)
        if source is Source.SESSION:  # the application handed out other things too; only what is named is of use
            handed = {
                name: one for name, one in handed.items() if names_match(self._site.sticky.cookies, name)
            } or handed
        plain = {name: one.value for name, one in handed.items()}
        read = self._reader.read(plain) if plain else ()
        whole = tuple(RoutingCookie(name, value) for name, value in plain.items())
        if source is Source.SESSION and self._reader.knows_names and not self._are_configured(whole):
            whole = ()
        found: list[Route] = []
        for cookies, dialect, origin in (
            (read, self.dialect_names(read), source),
            (whole, "", source),
            (sent, self.dialect_names(sent) or "generic", Source.INVENTED),
        ):
            if cookies and all(cookies != other.cookies for other in found):
                ends = earliest_expiry(handed[one.name] for one in cookies if one.name in handed)
                site = self._site.name
                found.append(Route(site, node, cookies, dialect, RouteState.CANDIDATE, now, None, ends, origin))
        return found

    def _are_configured(self, cookies: tuple[RoutingCookie, ...]) -> bool:
        return bool(cookies) and all(names_match(self._site.sticky.cookies, cookie.name) for cookie in cookies)

    def dialect_names(self, cookies: tuple[RoutingCookie, ...]) -> str:
        """The names of the dialects of routing cookies; those of several tiers with a plus between them."""
        found = [self._reader.dialect_of(cookie.name, cookie.value) for cookie in cookies]
        return "+".join(dict.fromkeys(dialect.name for dialect in found if dialect is not None))


def _earliest_expiry(route: Route, wanted: set[str], handed: dict[str, SetCookie]) -> float | None:
    ends = earliest_expiry(one for name, one in handed.items() if name in wanted)
    if wanted <= handed.keys() or route.expires_at is None:
        return ends
    return route.expires_at if ends is None else min(ends, route.expires_at)

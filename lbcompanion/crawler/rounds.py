"""One round of one notice: carries out the ladder's steps, and learns from what came back.

The ladder decides, the fetcher and the minter do; nothing here writes to the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, evolve, field, frozen

from lbcompanion.crawler.backlog import Pending
from lbcompanion.crawler.client import FetchFailed
from lbcompanion.crawler.fetcher import Copy, NoCopy, SiteFetcher, Way
from lbcompanion.crawler.minting import Minter
from lbcompanion.model import Attempt, RouteKind, RoutingCookie
from lbcompanion.settings import KnownNode, SiteSettings
from lbcompanion.sticky.dialects import NodeFacts
from lbcompanion.sticky.ladder import (
    ARCHIVED,
    Ask,
    End,
    Knowledge,
    Limits,
    Mint,
    Past,
    Step,
    Try,
    Wait,
    next_step,
)
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState


@frozen
class SiteCrew:
    """All that works for one site."""

    settings: SiteSettings
    fetcher: SiteFetcher
    minter: Minter
    reader: CookieReader


@frozen
class RoundOver:
    """How a round ended.

    :ivar attempts: this round's.
    :ivar copy: the page, where one came; its attempt says ``archived`` already, which the caller must make true.
    :ivar way: how it came.
    """

    step: Wait | End
    attempts: tuple[Attempt, ...]
    copy: Copy | None = field(default=None, repr=False)
    way: Way = Factory(Way)
    route: str = ""


class Rounds:
    """Runs rounds, with the knowledge that all of them share.

    :param keep: told of every route that changed.
    :param jitter: gives a number of at least 0 and below 1.
    :param say: told each step in words without cookie values, for ``fetch``.
    """

    def __init__(
        self,
        routes: Routes,
        keep: Callable[[Route], object],
        now: Callable[[], float],
        jitter: Callable[[], float],
        limits: Limits,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._routes = routes
        self._keep = keep
        self._now = now
        self._jitter = jitter
        self._limits = limits
        self._say = say

    async def run(self, crew: SiteCrew, job: Pending) -> RoundOver:
        """Go down the ladder once for a notice; never raises for what the network or a peer does."""
        past = Past(rounds=job.rounds)
        copy: Copy | None = None
        way, route = Way(), ""
        while True:
            age = self._now() - job.received_at
            step = next_step(crew.settings.ladder, self._known(crew, job), past, age, self._limits, self._jitter())
            self._tell(step, job.owner)
            if isinstance(step, Wait | End):
                return RoundOver(step, past.attempts, copy, way, route)
            if isinstance(step, Mint):
                await crew.minter.mint(job.owner)
                past = evolve(past, minted=True)
            elif isinstance(step, Ask):
                past = evolve(past, asked=True, minted=await self._ask(crew, job.owner) or past.minted)
            else:
                way, route = Way(step.cookies, step.direct), step.route.value
                attempt, copy = await self._try(crew, job, step.route, way)
                past = evolve(past, attempts=(*past.attempts, attempt))

    def _known(self, crew: SiteCrew, job: Pending) -> Knowledge:
        site, owner, now = crew.settings, job.owner, self._now()
        configured = site.nodes.get(owner, KnownNode())
        facts = NodeFacts(owner, configured.address, site.key)
        computed = configured_cookies(configured.cookie) or crew.reader.compute(facts)
        pairs = [(each.name, each.value) for each in job.cookies]
        return Knowledge(
            owner=owner,
            recorded=job.cookies,
            recorded_safe=bool(job.cookies) and crew.reader.replay_is_safe(pairs),
            recorded_misled=self._routes.misled(site.name, owner, job.cookies, now),
            node_up=self._routes.is_up(site.name, owner, now),
            own=self._routes.of(site.name, owner),
            may_mint=crew.minter.may_mint(owner),
            computed=computed,
            computed_misled=self._routes.misled(site.name, owner, computed, now),
            direct=configured.direct,
        )

    async def _ask(self, crew: SiteCrew, owner: str) -> bool:
        """Find out if the owner is up, without the visitor's cookie; True where that took a campaign."""
        own = self._routes.of(crew.settings.name, owner)
        direct = crew.settings.nodes.get(owner, KnownNode()).direct
        ways = [Way(own.cookies)] if own is not None and own.state is not RouteState.STALE else []
        ways += [Way(direct=direct)] if direct else []
        for way in ways:
            try:
                seen = await crew.fetcher.whoami(way)
            except FetchFailed:
                continue
            self._routes.saw(crew.settings.name, seen.node, self._now())
            if seen.node == owner:
                return False
            self._stale(crew.settings.name, owner, way.cookies)
        if not crew.minter.may_mint(owner):
            return False
        await crew.minter.mint(owner)
        return True

    async def _try(self, crew: SiteCrew, job: Pending, kind: RouteKind, way: Way) -> tuple[Attempt, Copy | None]:
        begun = self._now()
        answer = await crew.fetcher.page(job.token, way)
        result = ARCHIVED if isinstance(answer, Copy) else answer.result
        self._learn(crew.settings.name, job.owner, kind, way.cookies, answer)
        attempt = Attempt(kind, answer.node, result, max(0.0, (self._now() - begun) * 1000))
        self._say(f"{kind.value}: {_words(answer)} ({attempt.ms:.0f} ms)")
        return attempt, answer if isinstance(answer, Copy) else None

    def _learn(
        self, site: str, owner: str, kind: RouteKind, cookies: tuple[RoutingCookie, ...], answer: Copy | NoCopy
    ) -> None:
        now = self._now()
        if answer.node:
            self._routes.saw(site, answer.node, now)
        if answer.node == owner and kind is RouteKind.OWN:
            before = self._routes.of(site, owner)
            changed = self._routes.proved(site, owner, cookies, now)
            if changed is not None and before is not None and _worth_keeping(before, now):
                self._keep(changed)
        elif answer.node != owner:
            if kind is not RouteKind.ANY:
                self._routes.went_down(site, owner)
            if answer.node and kind is RouteKind.OWN:
                self._stale(site, owner, cookies)
            elif answer.node and cookies:
                self._routes.mislead(site, owner, cookies, now)

    def _stale(self, site: str, owner: str, cookies: tuple[RoutingCookie, ...]) -> None:
        changed = self._routes.went_stale(site, owner, cookies)
        if changed is not None:
            self._keep(changed)

    def _tell(self, step: Step, owner: str) -> None:
        if isinstance(step, Mint):
            self._say(f"own: asking the balancer for a cookie of ours to {owner}")
        elif isinstance(step, Ask):
            self._say(f"asking whether {owner} is up, before the visitor's cookie is used")
        elif isinstance(step, Try):
            names = ", ".join(each.name for each in step.cookies)
            through = f"at {step.direct}" if step.direct else f"with {names}" if names else "without a cookie"
            self._say(f"{step.route.value}: asking for the page {through}")


def _worth_keeping(before: Route, now: float) -> bool:
    """Not every proof is worth a write: what is kept tells to the minute when a route was proven last."""
    return before.state is not RouteState.PROVEN or now - (before.proven_at or 0.0) >= 60


def _words(answer: Copy | NoCopy) -> str:
    if isinstance(answer, Copy):
        return f"the copy came from {answer.node} ({answer.via}), {len(answer.body)} bytes, proven"
    return f"{answer.result}, said {answer.node}" if answer.node else answer.result


def configured_cookies(text: str) -> tuple[RoutingCookie, ...]:
    """The cookies of ``nodes.N.cookie``, such as ``SRV=n1``."""
    pairs = (part.strip().partition("=") for part in text.split(";") if "=" in part)
    return tuple(RoutingCookie(name.strip(), value.strip()) for name, _, value in pairs)

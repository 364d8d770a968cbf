"""One round of one notice: carries out the ladder's steps, and learns from what came back.

The ladder decides, the fetcher and the minter do; nothing here writes to the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, evolve, field, frozen

from lbcompanion.crawler.fetching.fetcher import Copy, NoCopy, SiteFetcher, Way
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.crawler.queue.backlog import Pending
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import Attempt, RouteKind, RoutingCookie, WallClock
from lbcompanion.settings import KnownNode, SiteSettings
from lbcompanion.sticky.cookies import set_cookie_pairs
from lbcompanion.sticky.derived_cookies import derive_cookie
from lbcompanion.sticky.dialects import NodeFacts
from lbcompanion.sticky.ladder import (
    FETCHED,
    Fetched,
    Finish,
    Knowledge,
    LadderLimits,
    Mint,
    ProbeOwner,
    RoundState,
    Step,
    Try,
    Wait,
    next_step,
    skipped_rungs,
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
    :ivar copy: the page, where one came; the last attempt brought it.
    :ivar way: how it came.
    """

    step: Wait | Fetched | Finish
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
        *,
        routes: Routes,
        keep: Callable[[Route], object],
        now: WallClock,
        jitter: Callable[[], float],
        limits: LadderLimits,
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
        past = RoundState(rounds=job.rounds)
        copy: Copy | None = None
        notes: list[str] = []
        crew.minter.recorded(job.owner, job.cookies)
        way, route = Way(), ""
        while True:
            age = self._now() - job.received_at
            known = self._known(crew, job)
            step = next_step(crew.settings.ladder, known, past, age, self._limits, self._jitter())
            self._tell(step, job.owner)
            if isinstance(step, Wait | Fetched | Finish):
                if copy is None:
                    notes += [f"{rung.value} not tried: {why}" for rung, why in self._left(crew, known, past)]
                return RoundOver(step, _annotated(past.attempts, notes), copy, way, route)
            if isinstance(step, Mint):
                await crew.minter.mint(job.owner)
                past = evolve(past, minted=True)
                notes.append(self._minted(crew, job.owner))
            elif isinstance(step, ProbeOwner):
                past = evolve(past, probed=True, minted=await self._ask(crew, job) or past.minted)
                notes.append(f"{job.owner} is {'' if self._is_up(crew, job.owner) else 'not known to be '}up")
            else:
                way, route = Way(step.cookies, step.direct), step.route.value
                attempt, copy = await self._try(crew, job, step.route, way)
                attempt = _annotated((attempt,), notes, before=True)[0]
                notes.clear()
                past = evolve(past, attempts=(*past.attempts, attempt))

    def _left(self, crew: SiteCrew, known: Knowledge, past: RoundState) -> tuple[tuple[RouteKind, str], ...]:
        return skipped_rungs(crew.settings.ladder, known, past)

    def _is_up(self, crew: SiteCrew, owner: str) -> bool:
        return self._routes.is_up(crew.settings.name, owner, self._now())

    def _minted(self, crew: SiteCrew, owner: str) -> str:
        route = self._routes.current(crew.settings.name, owner, self._now())
        found = route is not None and route.state is RouteState.PROVEN
        words = f"the balancer was asked for a cookie of ours: {'proven for' if found else 'none leads to'} {owner}"
        self._say(words)
        return words

    def _known(self, crew: SiteCrew, job: Pending) -> Knowledge:
        site, owner, now = crew.settings, job.owner, self._now()
        configured = site.nodes.get(owner, KnownNode())
        computed = configured_cookies(configured.cookie) or self._computed(crew, owner)
        pairs = [(each.name, each.value) for each in job.cookies]
        return Knowledge(
            owner=owner,
            recorded=job.cookies,
            recorded_safe=bool(job.cookies) and crew.reader.replay_is_safe(pairs),
            recorded_keyed=crew.reader.replay_is_hash_keyed(pairs),
            recorded_doubted=self._routes.is_doubtful(
                site.name, owner, job.cookies, now, 1 if crew.reader.is_unconfigured else 2
            ),
            recorded_misled=self._routes.is_misleading(site.name, owner, job.cookies, now),
            node_up=self._routes.is_up(site.name, owner, now),
            own=self._routes.current(site.name, owner, now),
            may_mint=self._may_mint(crew, job),
            computed=computed,
            computed_misled=self._routes.is_misleading(site.name, owner, computed, now),
            direct=configured.direct,
        )

    def _computed(self, crew: SiteCrew, owner: str) -> tuple[RoutingCookie, ...]:
        """By the rule of the dialect that is configured, or of the one that proven routes show to hold."""
        site = crew.settings

        def facts(node: str) -> NodeFacts:
            return NodeFacts(node, site.nodes.get(node, KnownNode()).address, site.key)

        by_dialect = crew.reader.compute(facts(owner))
        return by_dialect or derive_cookie(self._routes.examples(site.name), crew.reader, facts, owner)

    def _may_mint(self, crew: SiteCrew, job: Pending) -> bool:
        """A copy that its node told lost is looked for once more, with others that may have it: no campaign, which
        takes seconds, for a way to that node."""
        return not job.lost and crew.minter.may_mint(job.owner)

    async def _ask(self, crew: SiteCrew, job: Pending) -> bool:
        """Find out if the owner is up, without the visitor's cookie; True where that took a campaign."""
        owner = job.owner
        own = self._routes.get(crew.settings.name, owner)
        direct = crew.settings.nodes.get(owner, KnownNode()).direct
        ways = [Way(own.cookies)] if own is not None and own.state is not RouteState.STALE else []
        ways += [Way(direct=direct)] if direct else []
        for way in ways:
            try:
                seen = await crew.fetcher.whoami(way)
            except FetchFailed:
                continue
            self._routes.mark_up(crew.settings.name, seen.node, self._now())
            if seen.node == owner:
                return False
            self._stale(crew.settings.name, owner, way.cookies)
        if not self._may_mint(crew, job):
            return False
        await crew.minter.mint(owner)
        return True

    async def _try(self, crew: SiteCrew, job: Pending, kind: RouteKind, way: Way) -> tuple[Attempt, Copy | None]:
        begun = self._now()
        answer = await crew.fetcher.page(job.token, way)
        result = FETCHED if isinstance(answer, Copy) else answer.result
        learnt = "; ".join(self._learn(crew, job.owner, kind, way, answer))
        attempt = Attempt(kind, answer.node, result, max(0.0, (self._now() - begun) * 1000), learnt)
        self._say(f"{kind.value}: {_words(answer)} ({attempt.ms:.0f} ms){f'; {learnt}' if learnt else ''}")
        return attempt, answer if isinstance(answer, Copy) else None

    def _learn(self, crew: SiteCrew, owner: str, kind: RouteKind, way: Way, answer: Copy | NoCopy) -> list[str]:
        """What an answer teaches; in words, too."""
        site, now, learnt = crew.settings.name, self._now(), []
        if answer.node:
            self._routes.mark_up(site, answer.node, now)
            if kind is RouteKind.RECORDED:
                self._came_of_recorded(site, way, answer, answer.node == owner)
        if answer.node == owner and way.cookies:
            learnt += self._held(crew, owner, way.cookies, answer)
        elif answer.node != owner:
            if kind is not RouteKind.ANY:
                self._routes.mark_down(site, owner)
            if answer.node and way.cookies:
                learnt.append(f"the {kind.value} cookie does not lead to {owner} now")
                self._stale(site, owner, way.cookies)
                if kind is not RouteKind.OWN:
                    self._routes.mark_misleading(site, owner, way.cookies, now)
        if answer.node and not way.direct and (answer.node != owner or not way.cookies):
            learnt.append(crew.minter.offer(answer.node, answer.set_cookies))
        return [words for words in learnt if words]

    def _came_of_recorded(self, site: str, way: Way, answer: Copy | NoCopy, succeeded: bool) -> None:
        """Where the balancer handed out another cookie the node was met by chance, which says nothing."""
        by_chance = not set_cookie_pairs(answer.set_cookies).keys() <= {cookie.name for cookie in way.cookies}
        if not (succeeded and by_chance):
            self._routes.record_replay(site, way.cookies, succeeded, self._now())

    def _held(self, crew: SiteCrew, owner: str, cookies: tuple[RoutingCookie, ...], answer: Copy | NoCopy) -> list[str]:
        """The cookies led to the owner: where they are those of our own route, it is proven anew."""
        before = self._routes.get(crew.settings.name, owner)
        if before is not None and before.source.guessed and before.state is not RouteState.PROVEN:
            return []  # it may have been chance: more than one replay is to prove it
        changed = self._routes.mark_proven(crew.settings.name, owner, cookies, self._now())
        if changed is None or before is None:
            return []
        if _worth_keeping(before, self._now()):
            self._keep(changed)
        proven = f"our route to {owner} is proven" if before.state is not RouteState.PROVEN else ""
        return [proven, crew.minter.renewed(owner, cookies, answer.set_cookies)]

    def _stale(self, site: str, owner: str, cookies: tuple[RoutingCookie, ...]) -> None:
        changed = self._routes.mark_stale(site, owner, cookies)
        if changed is not None:
            self._keep(changed)

    def _tell(self, step: Step, owner: str) -> None:
        if isinstance(step, Mint):
            self._say(f"own: asking the balancer for a cookie of ours to {owner}")
        elif isinstance(step, ProbeOwner):
            self._say(f"asking whether {owner} is up, before the visitor's cookie is used")
        elif isinstance(step, Try):
            names = ", ".join(each.name for each in step.cookies)
            through = f"at {step.direct}" if step.direct else f"with {names}" if names else "without a cookie"
            self._say(f"{step.route.value}: asking for the page {through}")


def _annotated(attempts: tuple[Attempt, ...], notes: list[str], before: bool = False) -> tuple[Attempt, ...]:
    """The attempts, with what is to be said beside the last one."""
    if not attempts or not notes:
        return attempts
    last = attempts[-1]
    said = [*notes, last.learnt] if before else [last.learnt, *notes]
    return (*attempts[:-1], evolve(last, learnt="; ".join(words for words in said if words)))


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

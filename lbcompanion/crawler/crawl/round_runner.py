"""Runs one round for one notice: carries out the ladder's steps and updates the routes from the responses.

The ladder decides; fetcher and minter send the requests; nothing here writes to disk.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, evolve, field, frozen

from lbcompanion.crawler.fetching.fetcher import NOT_DOWN, FetchedCopy, FetchMiss, FetchPath, SiteFetcher
from lbcompanion.crawler.queue.backlog import PendingNotice
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
class SiteContext:
    """The objects that serve one site."""

    settings: SiteSettings
    fetcher: SiteFetcher
    minter: Minter
    reader: CookieReader


@frozen
class RoundResult:
    """How a round ended.

    :ivar attempts: the attempts of this round.
    :ivar copy: the copy that the last attempt fetched, or None.
    :ivar fetch_path: the path for the page's files and its confirmation. It is that of the last attempt, except after
        a visitor's cookies that could move the visitor: these are sent for nothing but the page.
    :ivar route: the rung of the last attempt; empty without one.
    """

    step: Wait | Fetched | Finish
    attempts: tuple[Attempt, ...]
    copy: FetchedCopy | None = field(default=None, repr=False)
    fetch_path: FetchPath = Factory(FetchPath)
    route: str = ""


class RoundRunner:
    """Runs rounds over one shared table of routes.

    :param save_route: called with every route that changed.
    :param jitter: returns a number of at least 0 and below 1.
    :param report_step: called with a text for each step, without cookie values; for the ``fetch`` command.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        save_route: Callable[[Route], object],
        now: WallClock,
        jitter: Callable[[], float],
        limits: LadderLimits,
        report_step: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._routes = routes
        self._save_route = save_route
        self._now = now
        self._jitter = jitter
        self._limits = limits
        self._report_step = report_step

    async def run(self, context: SiteContext, job: PendingNotice) -> RoundResult:
        """Go down the ladder once for a notice; errors of network or peers become attempts, never exceptions."""
        state = RoundState(rounds=job.rounds)
        copy: FetchedCopy | None = None
        notes: list[str] = []
        context.minter.note_page(job.page_url)
        context.minter.note_visitor_cookies(job.owner, job.cookies)
        fetch_path, route, begun = FetchPath(), "", self._now()
        while True:
            age = self._now() - job.received_at
            if copy is None:  # with a copy the round is over, whatever is known
                knowledge = self._knowledge(context, job, begun)
            step = next_step(context.settings.ladder, knowledge, state, age, self._limits, self._jitter())
            self._report(step, job.owner)
            if isinstance(step, Wait | Fetched | Finish):
                if copy is None:
                    notes += [
                        f"{rung.value} not tried: {why}" for rung, why in self._skipped(context, knowledge, state)
                    ]
                elif route == RouteKind.RECORDED.value and not knowledge.recorded_safe:
                    fetch_path = self._safe_path(context, copy.node)
                    copy = evolve(copy, set_cookies=())  # they answer the visitor's cookies, not those of this path
                return RoundResult(step, _annotated(state.attempts, notes), copy, fetch_path, route)
            if isinstance(step, Mint):
                await context.minter.mint(job.owner)
                state = evolve(state, minted=True)
                notes.append(self._describe_mint(context, job.owner))
            elif isinstance(step, ProbeOwner):
                state = evolve(state, probed=True, minted=await self._probe_owner(context, job, begun) or state.minted)
                reached = self._routes.is_reached(context.settings.name, job.owner, self._now(), begun)
                notes.append(f"the balancer {'sends' if reached else 'is not known to send'} visitors to {job.owner}")
            else:
                route = step.route.value
                # A request on a kept connection may be sent again later, when the visitor's cookies may not be used.
                may_move = step.route is RouteKind.RECORDED and not knowledge.recorded_safe
                fetch_path = FetchPath(step.cookies, step.direct, "" if may_move else f"{route} {job.owner}")
                attempt, copy = await self._request_page(context, job, step.route, fetch_path)
                attempt = _annotated((attempt,), notes, before=True)[0]
                notes.clear()
                state = evolve(state, attempts=(*state.attempts, attempt))

    def _skipped(
        self, context: SiteContext, knowledge: Knowledge, state: RoundState
    ) -> tuple[tuple[RouteKind, str], ...]:
        return skipped_rungs(context.settings.ladder, knowledge, state)

    def _describe_mint(self, context: SiteContext, owner: str) -> str:
        route = self._routes.current(context.settings.name, owner, self._now())
        found = route is not None and route.state is RouteState.PROVEN
        words = f"the balancer was asked for a new cookie: {'proven for' if found else 'no cookie leads to'} {owner}"
        self._report_step(words)
        return words

    def _knowledge(self, context: SiteContext, job: PendingNotice, begun: float) -> Knowledge:
        site, owner, now = context.settings, job.owner, self._now()
        computed = self._computed(context, owner)
        pairs = [(each.name, each.value) for each in job.cookies]
        return Knowledge(
            owner=owner,
            recorded=job.cookies,
            recorded_safe=bool(job.cookies) and context.reader.replay_is_safe(pairs),
            recorded_hash_keyed=context.reader.replay_is_hash_keyed(pairs),
            recorded_doubtful=self._routes.is_doubtful(
                site.name, owner, job.cookies, now, 1 if context.reader.is_unconfigured else 2
            ),
            recorded_misleading=self._routes.is_misleading(site.name, owner, job.cookies, now),
            owner_alive=self._routes.is_alive(site.name, owner, now),
            owner_reached=self._routes.is_reached(site.name, owner, now, begun),
            own=self._routes.current(site.name, owner, now),
            may_mint=self._may_mint(context, job),
            computed=computed,
            computed_misleading=self._routes.is_misleading(site.name, owner, computed, now),
            direct=site.nodes.get(owner, KnownNode()).direct,
        )

    def _safe_path(self, context: SiteContext, node: str) -> FetchPath:
        """Return a path to a node without a visitor's cookie. If none is known, it is without a cookie: then any node
        answers."""
        site, own = context.settings, self._routes.current(context.settings.name, node, self._now())
        if own is not None and own.state is RouteState.PROVEN:
            return FetchPath(own.cookies, route=f"{RouteKind.OWN.value} {node}")
        computed = self._computed(context, node)
        if computed and not self._routes.is_misleading(site.name, node, computed, self._now()):
            return FetchPath(computed, route=f"{RouteKind.COMPUTED.value} {node}")
        if direct := site.nodes.get(node, KnownNode()).direct:
            return FetchPath(direct=direct, route=f"{RouteKind.DIRECT.value} {node}")
        return FetchPath(route=f"{RouteKind.ANY.value} {node}")

    def _computed(self, context: SiteContext, owner: str) -> tuple[RoutingCookie, ...]:
        """Return the owner's configured cookies, or compute them by the configured dialect, or by a rule that fits the
        proven routes."""
        site = context.settings
        if configured := configured_cookies(site.nodes.get(owner, KnownNode()).cookie):
            return configured

        def facts(node: str) -> NodeFacts:
            return NodeFacts(node, site.nodes.get(node, KnownNode()).address, site.key)

        by_dialect = context.reader.compute(facts(owner))
        return by_dialect or derive_cookie(self._routes.proven_examples(site.name), context.reader, facts, owner)

    def _may_mint(self, context: SiteContext, job: PendingNotice) -> bool:
        """Whether minting is worth it. Not for a copy that its node reported lost: one more round asks the others that
        may have it, and a campaign for a route to that node would only cost seconds."""
        return not job.loss_reason and context.minter.may_mint(job.owner)

    async def _probe_owner(self, context: SiteContext, job: PendingNotice, begun: float) -> bool:
        """Check whether the balancer sends visitors to the owner, without the visitor's cookie; True if that took a
        campaign. The owner's own address is not asked: it answers during maintenance, too.

        :param begun: when the round began: what was asked before says nothing about now.
        """
        site, owner = context.settings.name, job.owner
        own = self._routes.get(site, owner)
        if own is not None and own.state is not RouteState.STALE:
            await context.minter.reverify(owner)
        if self._routes.is_reached(site, owner, self._now(), begun) or not self._may_mint(context, job):
            return False
        await context.minter.mint(owner)
        return True

    async def _request_page(
        self, context: SiteContext, job: PendingNotice, kind: RouteKind, fetch_path: FetchPath
    ) -> tuple[Attempt, FetchedCopy | None]:
        begun = self._now()
        answer = await context.fetcher.page(job.token, fetch_path)
        if answer.node != job.owner and not (kind is RouteKind.ANY and isinstance(answer, FetchedCopy)):
            context.fetcher.on_wrong_turn(fetch_path)
        result = FETCHED if isinstance(answer, FetchedCopy) else answer.result
        learnt = "; ".join(self._learn(context, job.owner, kind, fetch_path, answer, begun))
        attempt = Attempt(kind, answer.node, result, max(0.0, (self._now() - begun) * 1000), learnt)
        self._report_step(f"{kind.value}: {_describe(answer)} ({attempt.ms:.0f} ms){f'; {learnt}' if learnt else ''}")
        return attempt, answer if isinstance(answer, FetchedCopy) else None

    def _learn(
        self,
        context: SiteContext,
        owner: str,
        kind: RouteKind,
        fetch_path: FetchPath,
        answer: FetchedCopy | FetchMiss,
        asked_at: float,
    ) -> list[str]:
        """Update the routes from a response; returns what was learnt, in words."""
        site, now, learnt = context.settings.name, self._now(), []
        if answer.node:
            self._routes.mark_alive(site, answer.node, now)
            if kind is RouteKind.RECORDED and not answer.shared:
                self._record_replay(site, fetch_path, answer, reached=answer.node == owner)
        if answer.node == owner and fetch_path.cookies:
            if not answer.shared:  # otherwise the balancer may have followed the connection, not these cookies
                learnt += self._learn_from_owner(context, owner, fetch_path, answer, asked_at)
        elif answer.node != owner:
            if kind is not RouteKind.ANY and _may_be_down(answer):
                self._routes.mark_missed(site, owner, now)
            if answer.node and fetch_path.cookies:
                learnt.append(f"the {kind.value} cookie does not lead to {owner} now")
                self._mark_stale(site, owner, fetch_path.cookies)
                if kind is not RouteKind.OWN:
                    self._routes.mark_misleading(site, owner, fetch_path.cookies, now)
        if answer.node and not fetch_path.direct and (answer.node != owner or not fetch_path.cookies):
            learnt.append(context.minter.add_candidate(answer.node, answer.set_cookies))
        return [words for words in learnt if words]

    def _learn_from_owner(
        self, context: SiteContext, owner: str, fetch_path: FetchPath, answer: FetchedCopy | FetchMiss, asked_at: float
    ) -> list[str]:
        """Update the routes from a response to a request with these cookies."""
        moved = context.reader.detects_move(fetch_path.cookies, answer.set_cookies) is True
        if not moved and not _by_chance(fetch_path, answer):
            self._routes.mark_reached(context.settings.name, owner, asked_at)
        return self._mark_own_proven(context, owner, fetch_path.cookies, answer)

    def _record_replay(
        self, site: str, fetch_path: FetchPath, answer: FetchedCopy | FetchMiss, *, reached: bool
    ) -> None:
        """Count a replay, unless the owner was reached by chance."""
        if not (reached and _by_chance(fetch_path, answer)):
            self._routes.record_replay(site, fetch_path.cookies, succeeded=reached, now=self._now())

    def _mark_own_proven(
        self, context: SiteContext, owner: str, cookies: tuple[RoutingCookie, ...], answer: FetchedCopy | FetchMiss
    ) -> list[str]:
        """Mark the crawler's own route as proven if these cookies, which reached the owner, are its cookies."""
        before = self._routes.get(context.settings.name, owner)
        if before is not None and before.source.guessed and before.state is not RouteState.PROVEN:
            return []  # may be chance: a guessed route needs more than one replay
        changed = self._routes.mark_proven(context.settings.name, owner, cookies, self._now())
        if changed is None or before is None:
            return []
        if _is_worth_saving(before, self._now()):
            self._save_route(changed)
        proven = f"our route to {owner} is proven" if before.state is not RouteState.PROVEN else ""
        return [proven, context.minter.refresh_cookies(owner, cookies, answer.set_cookies)]

    def _mark_stale(self, site: str, owner: str, cookies: tuple[RoutingCookie, ...]) -> None:
        changed = self._routes.mark_stale(site, owner, cookies)
        if changed is not None:
            self._save_route(changed)

    def _report(self, step: Step, owner: str) -> None:
        if isinstance(step, Mint):
            self._report_step(f"own: asking the balancer for a new cookie to {owner}")
        elif isinstance(step, ProbeOwner):
            self._report_step(f"asking whether the balancer sends visitors to {owner}, before their cookie is used")
        elif isinstance(step, Try):
            names = ", ".join(each.name for each in step.cookies)
            through = f"at {step.direct}" if step.direct else f"with {names}" if names else "without a cookie"
            self._report_step(f"{step.route.value}: asking for the page {through}")


def _annotated(attempts: tuple[Attempt, ...], notes: list[str], *, before: bool = False) -> tuple[Attempt, ...]:
    """Return the attempts with the notes added to the last one."""
    if not attempts or not notes:
        return attempts
    last = attempts[-1]
    parts = [*notes, last.learnt] if before else [last.learnt, *notes]
    return (*attempts[:-1], evolve(last, learnt="; ".join(words for words in parts if words)))


def _by_chance(fetch_path: FetchPath, answer: FetchedCopy | FetchMiss) -> bool:
    """Whether the balancer set a cookie of another name than those that were sent: it did not route by those."""
    return not set_cookie_pairs(answer.set_cookies).keys() <= {cookie.name for cookie in fetch_path.cookies}


def _is_worth_saving(before: Route, now: float) -> bool:
    """Whether to save the route again: ``proven_at`` is stored to the minute, to save writes."""
    return before.state is not RouteState.PROVEN or now - (before.proven_at or 0.0) >= 60


def _may_be_down(answer: FetchedCopy | FetchMiss) -> bool:
    return isinstance(answer, FetchedCopy) or answer.result not in NOT_DOWN


def _describe(answer: FetchedCopy | FetchMiss) -> str:
    if isinstance(answer, FetchedCopy):
        return f"the copy came from {answer.node} ({answer.via}), {len(answer.body)} bytes, proven"
    return f"{answer.result}, said {answer.node}" if answer.node else answer.result


def configured_cookies(text: str) -> tuple[RoutingCookie, ...]:
    """Parse the cookies of ``nodes.N.cookie``, such as ``SRV=n1``."""
    pairs = (part.strip().partition("=") for part in text.split(";") if "=" in part)
    return tuple(RoutingCookie(name.strip(), value.strip()) for name, _, value in pairs)

"""The scheduler: takes due notices from the backlog, runs their rounds, archives and confirms the copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar
from zlib import crc32

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredList, execute
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbcompanion.crawler.activity import Activity
from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.group_commit import ENOUGH_BYTES, ENOUGH_PAGES, GroupCommit, ReadyPage
from lbcompanion.crawler.archive.warc_records import RecordRefused
from lbcompanion.crawler.crawl.confirmations import Confirmations
from lbcompanion.crawler.crawl.requisite_source import RequisiteSource
from lbcompanion.crawler.crawl.requisites import Gathered, Parse, Requisites
from lbcompanion.crawler.crawl.round_runner import RoundResult, RoundRunner, SiteContext
from lbcompanion.crawler.crawl.route_refresh import RouteRefresher
from lbcompanion.crawler.fetching.fetcher import NOT_DOWN, UNUSABLE, FetchedCopy, FetchPath
from lbcompanion.crawler.fetching.site_addresses import archived_address
from lbcompanion.crawler.fetching.site_pause import PAUSED
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.backlog import AlreadyEnded, Backlog, PendingNotice
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.requisite_report import RequisiteReport
from lbcompanion.crawler.queue.work import TakenNotices, UnsharedQueue, WorkSource
from lbcompanion.model import Attempt, LossCode, LossReason, Verdict, WallClock
from lbcompanion.protocol.tokens import abbreviate
from lbcompanion.settings import RequisitesTable
from lbcompanion.sticky.ladder import FETCHED, FINAL_LOSSES, Fetched, Finish, Wait

_T = TypeVar("_T")

#: Pause in seconds after the crawler's own disk or database failed.
_FAILURE_PAUSE_SECONDS = 5.0
#: A node that goes up and down wakes its notices at most once in this time.
_MIN_WAKE_INTERVAL_SECONDS = 5.0
_MAX_SLEEP_SECONDS = 30.0
#: The wall clock was set back if it lost this much against the reactor's clock, which never jumps.
_SET_BACK_SECONDS = 1.0
#: How many notices may be fetched, archived and confirmed in all, as a multiple of ``concurrency``.
_MOST_RUNNING = 2
#: After a site's pause its notices come back within about this time.
_MAX_SPREAD_SECONDS = 4.0
#: Each of these tries may have transferred a whole copy.
MAX_UNUSABLE_TRIES = 8
#: Final results of the attempt that fetched the copy; "archived" is stored in one transaction with the outcome.
_ARCHIVED, _NOT_STORED = Verdict.ARCHIVED.value, "not stored"


class Defer(Protocol):
    """Runs blocking calls in another thread, in order, one at a time."""

    def __call__(self, call: Callable[..., _T], /, *args: Any) -> Deferred[_T]:
        """Run one call; fires with its result."""
        ...


class Scheduler:
    """Processes up to ``concurrency`` notices at a time.

    :param contexts: by site name.
    :param now: seconds since the epoch.
    :param give_up_after_seconds: when a notice without a copy is lost.
    :param work: where due notices are taken from; None: from the backlog, whose only crawler this is.
    :param per_node: how many notices of one origin node are worked on at a time; None: no limit of its own.
    :param requisites: whether page requisites are fetched too, and their limits.
    :param route_refresher: marks every notice's node as active there; None refreshes no routes.
    :param parse: reads pages and style sheets in another thread.
    :param activity: counts outcomes over time.
    :param gather_seconds: how long pages and confirmations wait for others, to be written or sent together.
    :param gather_pages: this number of pages, or ``gather_bytes``, are written at once.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        archive: Archive,
        defer: Defer,
        round_runner: RoundRunner,
        contexts: Mapping[str, SiteContext],
        reactor: IReactorTime,
        now: WallClock,
        metrics: CrawlerMetrics,
        concurrency: int,
        give_up_after_seconds: float,
        requisites: RequisitesTable,
        work: WorkSource | None = None,
        per_node: int | None = None,
        route_refresher: RouteRefresher | None = None,
        parse: Parse = execute,
        gather_seconds: float = 0.0,
        gather_pages: int = ENOUGH_PAGES,
        gather_bytes: int = ENOUGH_BYTES,
        activity: Activity | None = None,
    ) -> None:
        self._backlog = backlog
        self._archive = archive
        self._defer = defer
        self._round_runner = round_runner
        self._contexts = contexts
        self._reactor = reactor
        self._now = now
        self._metrics = metrics
        self._activity = activity or Activity()
        self._concurrency = concurrency
        self._work = work or UnsharedQueue(backlog)
        self._per_node = per_node or concurrency
        self._give_up_after_seconds = give_up_after_seconds
        self._requisites = requisites
        source = RequisiteSource(now, lambda seconds: deferLater(reactor, seconds), requisites, metrics)
        self._page_files = Requisites(source, now, requisites, parse)
        self._route_refresher = route_refresher
        self._confirmations = Confirmations(reactor, gather_seconds)
        self._commit = GroupCommit(
            *(archive, defer, reactor, gather_seconds, lambda: len(self._fetching), metrics.count_commit),
            enough_pages=gather_pages,
            enough_bytes=gather_bytes,
        )
        #: The running jobs whose page may still come.
        self._fetching: set[str] = set()
        #: How many of these have their page, and wait for its files.
        self._waiting_for_files = 0
        self._running: dict[str, Deferred[None]] = {}
        #: The running jobs that confirm their archived page: their claims ended with the outcome.
        self._archived: set[str] = set()
        self._busy_nodes: Counter[str] = Counter()
        self._failing_nodes: set[str] = set()
        self._woken_at: dict[str, float] = {}
        self._polling = False
        self._poll_again = False
        self._last_poll = float("-inf")
        #: The wall clock less the reactor's clock, at the last look.
        self._clock_offset = float("-inf")
        self._stopped = False
        self._timer: IDelayedCall | None = None
        self._soon: IDelayedCall | None = None
        self._gather_seconds = gather_seconds
        self._log = Logger(namespace="lbcompanion.crawler.crawl")
        for context in contexts.values():
            context.minter.on_proven = self.on_node_back

    def wake(self) -> None:
        """Look for due notices now; called when a notice arrives, a round ends or a back-off ends."""
        if self._stopped:
            return
        if self._polling:
            self._poll_again = True
            return
        pause = self._last_poll + self._work.pause_seconds - self._reactor.seconds()
        if pause > 0:
            self._wake_in(pause)
            return
        self._polling, self._poll_again, self._last_poll = True, False, self._reactor.seconds()
        Deferred.fromCoroutine(self._poll()).addErrback(self._on_poll_failed).addCallback(self._on_polled)

    def _on_polled(self, _result: object) -> None:
        self._polling = False
        if self._poll_again:
            self.wake()

    def _on_poll_failed(self, failure: Any) -> None:
        self._log.error("looking for work failed: {why}", why=failure.getErrorMessage())
        self._wake_in(_FAILURE_PAUSE_SECONDS)

    async def _forget_wrong_times(self) -> None:
        """Make all notices due if the clock was set back: their times may be far in the future now."""
        offset = self._now() - self._reactor.seconds()
        if offset < self._clock_offset - _SET_BACK_SECONDS:
            seconds = round(self._clock_offset - offset)
            self._log.warn("the clock was set back by {seconds} s: all open notices are tried now", seconds=seconds)
            await self._defer(self._backlog.make_all_due, self._now())
        self._clock_offset = offset

    async def _poll(self) -> None:
        await self._forget_wrong_times()
        # After a failure of the disk one page at a time is tried: each try transfers a copy.
        free = self._free_slots()
        if free <= 0:
            return
        full = self._full_nodes()
        taken = await self._defer(self._take, self._now(), free, tuple(self._running), full)
        if taken is None:
            self._wake_in(_FAILURE_PAUSE_SECONDS)
            return
        if taken.is_node_full or any(self._busy_nodes[node] >= self._per_node for node in full):
            self._metrics.count_node_wait()
        if refused := [job.token for job in taken.jobs if not self._start(job)]:
            await self._defer(self._work.give_back, refused)
        if self._free_slots() <= 0:
            return
        if taken.jobs:
            # These jobs may have filled the slots of a node; query again without its notices.
            self._poll_again = True
            return
        following = await self._defer(self._backlog.next_due, self._now())
        waits = [_MAX_SLEEP_SECONDS if following is None else following - self._now()]
        waits += [each for each in (taken.again_seconds, self._work.poll_seconds) if each is not None]
        if following is not None or len(waits) > 1:
            self._wake_in(min(max(min(waits), 0.0), _MAX_SLEEP_SECONDS) + 0.01)

    def _free_slots(self) -> int:
        """Return how many notices may be taken.

        One that only waits for its page's files, or whose page is being archived and confirmed, keeps no other page
        from being fetched, up to :data:`_MOST_RUNNING` times the number.
        """
        if self._archive.is_failing():
            return 1 - len(self._running)
        if self._commit.is_full:
            return 0
        fetching = len(self._fetching) - self._waiting_for_files
        return min(self._concurrency - fetching, _MOST_RUNNING * self._concurrency - len(self._running))

    def _wake_soon(self) -> None:
        """Look for due notices in a moment, so that one query finds several; at once if many slots are free."""
        if not self._gather_seconds or self._free_slots() >= max(1, self._concurrency // 4):
            self.wake()
        elif self._soon is None and not self._stopped:
            self._soon = self._reactor.callLater(self._gather_seconds, self._on_soon)

    def _on_soon(self) -> None:
        self._soon = None
        self.wake()

    def _take(
        self, now: float, limit: int, running: tuple[str, ...], full_nodes: tuple[str, ...]
    ) -> TakenNotices | None:
        """Take work; None if nothing may be archived now. Runs on the backlog's thread."""
        return self._work.take(now, limit, running, full_nodes) if self._archive.may_store() else None

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self._stopped:
            self._timer = self._reactor.callLater(seconds, self.wake)

    def _full_nodes(self) -> tuple[str, ...]:
        """Return the nodes that may have no more jobs.

        A failing node has at most a quarter of the slots: its timeouts must not starve other nodes.
        """
        limit = min(max(1, self._concurrency // 4), self._per_node)
        full = {node for node, count in self._busy_nodes.items() if count >= self._per_node}
        return tuple(full | {node for node in self._failing_nodes if self._busy_nodes[node] >= limit})

    def _start(self, job: PendingNotice) -> bool:
        """Start a job; returns whether it may be started."""
        if self._stopped or job.token in self._running or job.owner in self._full_nodes():
            return False
        self._busy_nodes[job.owner] += 1
        self._fetching.add(job.token)
        running = Deferred.fromCoroutine(self._process(job))
        if not running.called:
            self._running[job.token] = running
        running.addErrback(self._on_job_failed, job)
        running.addBoth(self._on_job_end, job)
        self._metrics.set_running(len(self._running))
        return True

    def running_tokens(self) -> tuple[str, ...]:
        """Return the tokens of the notices that are worked on and need their claims."""
        return tuple(token for token in self._running if token not in self._archived)

    def forget_files(self) -> None:
        """Forget the files of pages that are in memory."""
        self._page_files.source.forget()

    def cancel(self, tokens: Iterable[str]) -> None:
        """Cancel jobs: another crawler works on their notices."""
        for token in tokens:
            # A page may have been archived after the caller asked for the tokens.
            if token in self._running and token not in self._archived:
                self._running[token].cancel()
                self._metrics.count_claims_lost(1)

    def _on_job_end(self, _result: object, job: PendingNotice) -> None:
        self._running.pop(job.token, None)
        self._archived.discard(job.token)
        if job.token in self._fetching:
            self._end_fetch(job)
            self._commit.recheck()
        self._metrics.set_running(len(self._running))
        self._wake_soon()

    def _end_fetch(self, job: PendingNotice) -> None:
        """Give back the slot of a job: its page needs its node no more, except to be confirmed."""
        self._fetching.discard(job.token)
        self._busy_nodes[job.owner] -= 1

    def _on_job_failed(self, failure: Any, job: PendingNotice) -> Any:
        if failure.check(AlreadyEnded, CancelledError):
            return None
        # A failure of the crawler itself: disk, database or a defect. The notice is postponed.
        self._log.error(
            "{token}: not finished: {kind}: {why}",
            token=abbreviate(job.token),
            kind=failure.type.__name__,
            why=failure.getErrorMessage() if failure.check(ArchiveError, BacklogError) else "see the traceback",
        )
        if not failure.check(ArchiveError, BacklogError):
            self._log.failure("{token}: a defect", failure=failure, token=abbreviate(job.token))
        return self._postpone(job, _FAILURE_PAUSE_SECONDS).addErrback(lambda _f: self._hold_slot())

    def _postpone(self, job: PendingNotice, seconds: float) -> Deferred[None]:
        return self._defer(self._backlog.postpone, job.token, job.rounds + 1, job.attempts, self._now() + seconds)

    def _hold_slot(self) -> Deferred[None]:
        """Keep the slot for a few seconds if even the postponement cannot be written."""
        done: Deferred[None] = Deferred()
        self._reactor.callLater(_FAILURE_PAUSE_SECONDS, done.callback, None)
        return done

    async def _process(self, job: PendingNotice) -> None:
        context = self._contexts.get(job.site) or (
            next(iter(self._contexts.values())) if len(self._contexts) == 1 else None
        )
        if context is None:
            code = LossCode.SITE_NOT_CONFIGURED if job.site else LossCode.NO_SITE
            await self._mark_lost(job, LossReason.of(code), ())
            return
        if self._route_refresher is not None:
            self._route_refresher.mark_active(context.settings.name, job.owner)
        if self._must_wait_for_site(context, job):
            await self._postpone_paused(context, job)
            return
        round_result = _without_paused(await self._round_runner.run(context, job))
        for attempt in round_result.attempts:
            if attempt.result != FETCHED:  # FETCHED is counted once it is known whether the copy is archived
                self._metrics.count_attempt(attempt)
        self._update_failing(job.owner, round_result, paused=context.fetcher.site_pause.seconds_left() > 0)
        attempts = (*job.attempts, *round_result.attempts)
        if isinstance(round_result.step, Wait):
            if unusable := _unusable_reason(job.owner, attempts):
                await self._mark_lost(job, job.loss_reason or unusable, attempts)
                return
            seconds = max(round_result.step.seconds, context.fetcher.site_pause.seconds_left())
            await self._wait(job, seconds, attempts)
        elif isinstance(round_result.step, Finish):
            reason = round_result.step.reason
            await self._mark_lost(job, reason if reason.code in FINAL_LOSSES else job.loss_reason or reason, attempts)
        elif round_result.copy is not None:
            await self._store(context, job, round_result, round_result.copy)

    def _must_wait_for_site(self, context: SiteContext, job: PendingNotice) -> bool:
        """Whether the site's edge asked for fewer requests, and no other way leads to the copy."""
        has_direct = "direct" in context.settings.ladder and job.owner in context.settings.nodes
        has_direct = has_direct and bool(context.settings.nodes[job.owner].direct)
        left = context.fetcher.site_pause.seconds_left()
        return bool(left) and not has_direct and self._now() + left - job.received_at < self._give_up_after_seconds

    async def _postpone_paused(self, context: SiteContext, job: PendingNotice) -> None:
        """Postpone a notice until its site's pause ends; the notices come back one after another, not all at once."""
        spread = 0.5 + crc32(job.token.encode()) % 1000 / 1000
        next_at = self._now() + context.fetcher.site_pause.seconds_left() + spread * _MAX_SPREAD_SECONDS
        await self._defer(self._backlog.postpone, job.token, job.rounds, job.attempts, next_at)

    async def _wait(self, job: PendingNotice, seconds: float, attempts: tuple[Attempt, ...]) -> None:
        """Postpone a notice after a round without a copy; a copy that its node reported lost ends here.

        Such a copy still got one round: a peer may hold it although the node did not receive the peer's response.
        """
        if job.loss_reason:
            await self._mark_lost(job, job.loss_reason, attempts)
        elif not self._stopped:
            if await self._defer(self._backlog.loss_of, job.token):
                seconds = 0.0  # the loss was reported while the round ran
            await self._defer(self._backlog.postpone, job.token, job.rounds + 1, attempts, self._now() + seconds)

    def _update_failing(self, owner: str, round_result: RoundResult, *, paused: bool) -> None:
        if isinstance(round_result.step, Fetched | Finish) and any(
            each.node == owner for each in round_result.attempts
        ):
            self.on_node_back(owner)
        elif isinstance(round_result.step, Wait) and not _is_owner_blameless(round_result, paused=paused):
            self._failing_nodes.add(owner)

    def on_node_back(self, node: str) -> None:
        """Make a node's notices due at once when the node is reachable again, instead of after their back-off."""
        if node not in self._failing_nodes:
            return
        self._failing_nodes.discard(node)
        now = self._now()
        if not self._stopped and now - self._woken_at.get(node, 0.0) >= _MIN_WAKE_INTERVAL_SECONDS:
            self._woken_at[node] = now
            woken = self._defer(self._backlog.make_node_due, node, now)
            woken.addCallbacks(lambda _done: self.wake(), self._on_poll_failed)

    async def _mark_lost(self, job: PendingNotice, reason: LossReason, attempts: tuple[Attempt, ...]) -> None:
        await self._defer(self._backlog.mark_lost, job.token, reason, attempts, self._now())
        self._metrics.count_lost()
        self._activity.lost(job.owner, self._now(), reason=reason.code.label, attempts=len(attempts))
        self._log.info("{token}: lost: {reason}", token=abbreviate(job.token), reason=reason.text)

    async def _store(
        self, context: SiteContext, job: PendingNotice, round_result: RoundResult, copy: FetchedCopy
    ) -> None:
        before, last = (*job.attempts, *round_result.attempts[:-1]), round_result.attempts[-1]
        attempts = (*before, evolve(last, result=_NOT_STORED))
        address = archived_address(copy.url, context.settings)
        try:
            if isinstance(address, LossReason):
                await self._mark_lost(job, address, attempts)
                return
            copy = copy if copy.url == address else evolve(copy, url=address)
            gathered = await self._gather(context, job, copy, round_result.fetch_path)
            archived = (*before, evolve(last, result=_ARCHIVED))
            report = gathered.report if self._requisites.enabled else None
            page = ReadyPage(job.token, copy, gathered.files, round_result.route, archived, report)
            self._end_fetch(job)
            storing = self._commit.store(page)
            self._wake_soon()
            stored = await storing
            self._archived.add(job.token)
            attempts = archived
        except RecordRefused as failure:
            await self._mark_lost(job, LossReason.of(LossCode.NOT_RECORDABLE, why=str(failure)), attempts)
            return
        except (ArchiveError, BacklogError) as failure:
            self._log.error("{token}: not stored: {why}", token=abbreviate(job.token), why=str(failure))
            await self._postpone(evolve(job, attempts=attempts), _FAILURE_PAUSE_SECONDS)
            return
        finally:
            self._metrics.count_attempt(attempts[-1])
        kept = stored.report or gathered.report  # without the files that no record can hold
        missing = [each.kind for each in kept.missing]
        self._metrics.count_archived(len(copy.body), kept.wanted - len(missing), missing)
        self._activity.archived(
            job.owner, self._now(), viewed_at=job.viewed_at, attempts=len(attempts), size=len(copy.body)
        )
        self._log.info(
            "{token}: archived, from {node} by {route}, {size} bytes",
            token=abbreviate(job.token),
            node=copy.node,
            route=round_result.route,
            size=stored.size,
        )
        confirmed = self._confirmations.confirm(context.fetcher, job.owner, job.token, round_result.fetch_path)
        self._metrics.count_confirmation(done=await confirmed)

    async def _gather(
        self, context: SiteContext, job: PendingNotice, copy: FetchedCopy, fetch_path: FetchPath
    ) -> Gathered:
        if not self._requisites.enabled:
            return Gathered((), RequisiteReport())
        had_no_slot = self._free_slots() <= 0 or job.owner in self._full_nodes()
        self._waiting_for_files += 1
        self._busy_nodes[job.owner] -= 1
        if had_no_slot:
            self._wake_soon()
        try:
            return await self._page_files.gather(context.fetcher, context.reader, copy, fetch_path)
        finally:
            self._busy_nodes[job.owner] += 1
            self._waiting_for_files -= 1

    def stop(self) -> Deferred[Any]:
        """Start no more jobs; fires when the running ones have ended."""
        self._stopped = True
        if self._route_refresher is not None:
            self._route_refresher.stop()
        for timer in (self._timer, self._soon):
            if timer is not None and timer.active():
                timer.cancel()
        return DeferredList([_completion_of(running) for running in list(self._running.values())])

    def abandon(self) -> None:
        """Cancel the running jobs; their notices stay in the backlog."""
        for running in list(self._running.values()):
            running.cancel()


def _without_paused(round_result: RoundResult) -> RoundResult:
    """Leave out the requests that were not sent because the site is paused."""
    attempts = tuple(each for each in round_result.attempts if each.result != PAUSED)
    return round_result if attempts == round_result.attempts else evolve(round_result, attempts=attempts)


def _is_owner_blameless(round_result: RoundResult, *, paused: bool) -> bool:
    """Whether a round without a copy does not say that the owner is down."""
    results = [each.result for each in round_result.attempts]
    return paused or bool(results and all(each in NOT_DOWN for each in results))


def _unusable_reason(owner: str, attempts: tuple[Attempt, ...]) -> LossReason | None:
    """Return the reason to give up if answers came again and again, but none with a copy that can be used."""
    unusable = [each.result for each in attempts if each.result in UNUSABLE]
    if len(unusable) < MAX_UNUSABLE_TRIES:
        return None
    return LossReason.of(LossCode.NO_USABLE_ANSWER, owner=owner, tries=len(unusable), last=unusable[-1])


def _completion_of(running: Deferred[None]) -> Deferred[None]:
    """Return a Deferred that fires after another one; cancelling it does not cancel the other."""
    ended: Deferred[None] = Deferred()
    running.addBoth(lambda _result: ended.callback(None))
    return ended

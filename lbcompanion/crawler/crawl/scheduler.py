"""The work itself: takes what is due from the backlog, runs rounds, archives, confirms. Bounded in every way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.archive.files import Archive, ArchiveError
from lbcompanion.crawler.archive.warc_records import RecordRefused
from lbcompanion.crawler.crawl.requisites import Requisites
from lbcompanion.crawler.crawl.rounds import RoundOver, Rounds, SiteCrew
from lbcompanion.crawler.crawl.route_refresh import Warmth
from lbcompanion.crawler.fetching.fetcher import Copy
from lbcompanion.crawler.metrics import Meters
from lbcompanion.crawler.queue.backlog import AlreadyEnded, Backlog, Pending
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.model import Attempt, LossCode, LossReason, Verdict, WallClock
from lbcompanion.protocol.tokens import abbreviate
from lbcompanion.sticky.ladder import FETCHED, FINAL_LOSSES, Fetched, Finish, Wait

_T = TypeVar("_T")

#: How long the crawl rests after its own disk or database failed, in seconds.
_TROUBLE_SECONDS = 5.0
#: A node that comes and goes does not wake its notices more often than that.
_WOKEN_AGAIN_SECONDS = 5.0
_LONGEST_NAP_SECONDS = 30.0
#: What the attempt that brought the copy says in the end: the first is written with the outcome, in one transaction.
_ARCHIVED, _NOT_STORED = Verdict.ARCHIVED.value, "not stored"


class Defer(Protocol):
    """Runs a blocking call elsewhere, in the order of the calls; one at a time."""

    def __call__(self, call: Callable[..., _T], /, *args: Any) -> Deferred[_T]:
        """Run it."""
        ...


class Crawl:
    """Keeps up to ``concurrency`` notices going.

    :param crews: by site name.
    :param now: seconds since the epoch.
    :param requisites: whether pages' files are fetched too.
    :param warmth: told of every notice's node, to keep its route warm.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        archive: Archive,
        defer: Defer,
        rounds: Rounds,
        crews: Mapping[str, SiteCrew],
        reactor: IReactorTime,
        now: WallClock,
        meters: Meters,
        concurrency: int,
        requisites: bool,
        warmth: Warmth | None = None,
    ) -> None:
        self._backlog = backlog
        self._archive = archive
        self._defer = defer
        self._rounds = rounds
        self._crews = crews
        self._reactor = reactor
        self._now = now
        self._meters = meters
        self._concurrency = concurrency
        self._with_requisites = requisites
        self._warmth = warmth
        self._running: dict[str, Deferred[None]] = {}
        self._busy_nodes: Counter[str] = Counter()
        self._troubled: set[str] = set()
        self._woken_at: dict[str, float] = {}
        self._looking = False
        self._look_again = False
        self._stopped = False
        self._nap: IDelayedCall | None = None
        self._log = Logger(namespace="lbcompanion.crawler.crawl")
        for crew in crews.values():
            crew.minter.when_proven = self._is_back

    def wake(self) -> None:
        """Look for due notices now; called when one came in, when a round ended, when a back-off did."""
        if self._stopped:
            return
        if self._looking:
            self._look_again = True
            return
        self._looking, self._look_again = True, False
        Deferred.fromCoroutine(self._look()).addErrback(self._trouble).addCallback(self._looked)

    def _looked(self, _result: object) -> None:
        self._looking = False
        if self._look_again:
            self.wake()

    def _trouble(self, failure: Any) -> None:
        self._log.error("looking for work failed: {why}", why=failure.getErrorMessage())
        self._sleep(_TROUBLE_SECONDS)

    async def _look(self) -> None:
        free = self._concurrency - len(self._running)
        if free <= 0:
            return
        due = await self._defer(self._backlog.due, self._now(), free, tuple(self._running), self._full_nodes())
        for job in due:
            self._start(job)
        if len(self._running) >= self._concurrency:
            return
        if due:
            # A node may have become full by these; what is left is asked for anew with that in mind.
            self._look_again = True
            return
        following = await self._defer(self._backlog.next_due, self._now())
        if following is not None:
            self._sleep(min(max(following - self._now(), 0.0), _LONGEST_NAP_SECONDS) + 0.01)

    def _sleep(self, seconds: float) -> None:
        if self._nap is not None and self._nap.active():
            self._nap.cancel()
        if not self._stopped:
            self._nap = self._reactor.callLater(seconds, self.wake)

    def _full_nodes(self) -> tuple[str, ...]:
        """Nodes in trouble may hold a quarter of the slots at most: their timeouts must not starve the others."""
        most = max(1, self._concurrency // 4)
        return tuple(node for node in self._troubled if self._busy_nodes[node] >= most)

    def _start(self, job: Pending) -> None:
        if self._stopped or job.token in self._running or job.owner in self._full_nodes():
            return
        self._busy_nodes[job.owner] += 1
        running = Deferred.fromCoroutine(self._work(job))
        if not running.called:
            self._running[job.token] = running
        running.addErrback(self._failed, job)
        running.addBoth(self._ended, job)
        self._meters.running(len(self._running))

    def _ended(self, _result: object, job: Pending) -> None:
        self._running.pop(job.token, None)
        self._busy_nodes[job.owner] -= 1
        self._meters.running(len(self._running))
        self.wake()

    def _failed(self, failure: Any, job: Pending) -> Any:
        if failure.check(AlreadyEnded, CancelledError):
            return None
        # Ours, not the peer's: the disk, the database, or a defect. The notice stays due; the rest is slowed down.
        self._log.error(
            "{token}: not finished: {kind}: {why}",
            token=abbreviate(job.token),
            kind=failure.type.__name__,
            why=failure.getErrorMessage() if failure.check(ArchiveError, BacklogError) else "see the traceback",
        )
        if not failure.check(ArchiveError, BacklogError):
            self._log.failure("{token}: a defect", failure=failure, token=abbreviate(job.token))
        return self._put_off(job, _TROUBLE_SECONDS).addErrback(lambda _f: self._rest())

    def _put_off(self, job: Pending, seconds: float) -> Deferred[None]:
        return self._defer(self._backlog.postpone, job.token, job.rounds + 1, job.attempts, self._now() + seconds)

    def _rest(self) -> Deferred[None]:
        """Hold the slot for a while, where not even the putting off can be written down."""
        done: Deferred[None] = Deferred()
        self._reactor.callLater(_TROUBLE_SECONDS, done.callback, None)
        return done

    async def _work(self, job: Pending) -> None:
        crew = self._crews.get(job.site) or (next(iter(self._crews.values())) if len(self._crews) == 1 else None)
        if crew is None:
            code = LossCode.SITE_NOT_CONFIGURED if job.site else LossCode.NO_SITE
            await self._lose(job, LossReason.of(code), ())
            return
        if self._warmth is not None:
            self._warmth.noticed(crew.settings.name, job.owner)
        over = await self._rounds.run(crew, job)
        for attempt in over.attempts:
            if attempt.result != FETCHED:  # which is counted once it is known whether the copy is archived
                self._meters.tried(attempt)
        self._judge(job.owner, over)
        attempts = (*job.attempts, *over.attempts)
        if isinstance(over.step, Wait):
            await self._wait(job, over.step.seconds, attempts)
        elif isinstance(over.step, Finish):
            reason = over.step.reason
            await self._lose(job, reason if reason.code in FINAL_LOSSES else job.lost or reason, attempts)
        elif over.copy is not None:
            await self._store(crew, job, over, over.copy)

    async def _wait(self, job: Pending, seconds: float, attempts: tuple[Attempt, ...]) -> None:
        """A round gave no copy: there will be another, unless the copy is known to be lost. One whole round is made
        all the same for such a copy: a peer may have it whose answer its node did not hear."""
        if job.lost:
            await self._lose(job, job.lost, attempts)
        elif not self._stopped:
            if await self._defer(self._backlog.loss_of, job.token):
                seconds = 0.0  # it was told while the round ran
            await self._defer(self._backlog.postpone, job.token, job.rounds + 1, attempts, self._now() + seconds)

    def _judge(self, owner: str, over: RoundOver) -> None:
        if isinstance(over.step, Fetched | Finish) and any(each.node == owner for each in over.attempts):
            self._is_back(owner)
        elif isinstance(over.step, Wait):
            self._troubled.add(owner)

    def _is_back(self, node: str) -> None:
        """There is a way to a node again: those who wait for it need not wait for the end of their back-off, which may
        be due to that alone."""
        if node not in self._troubled:
            return
        self._troubled.discard(node)
        now = self._now()
        if not self._stopped and now - self._woken_at.get(node, 0.0) >= _WOKEN_AGAIN_SECONDS:
            self._woken_at[node] = now
            woken = self._defer(self._backlog.wake_node, node, now)
            woken.addCallbacks(lambda _done: self.wake(), self._trouble)

    async def _lose(self, job: Pending, reason: LossReason, attempts: tuple[Attempt, ...]) -> None:
        await self._defer(self._backlog.lose, job.token, reason, attempts, self._now())
        self._meters.lost()
        self._log.info("{token}: lost: {reason}", token=abbreviate(job.token), reason=reason.text)

    async def _store(self, crew: SiteCrew, job: Pending, over: RoundOver, copy: Copy) -> None:
        before, last = (*job.attempts, *over.attempts[:-1]), over.attempts[-1]
        attempts = (*before, evolve(last, result=_NOT_STORED))
        try:
            assets = await Requisites(crew.fetcher, self._now).gather(copy, over.way) if self._with_requisites else ()
            archived = (*before, evolve(last, result=_ARCHIVED))
            kept = await self._defer(self._archive.store, job.token, copy, assets, over.route, archived)
            attempts = archived
        except RecordRefused as failure:
            await self._lose(job, LossReason.of(LossCode.NOT_RECORDABLE, why=str(failure)), attempts)
            return
        except (ArchiveError, BacklogError) as failure:
            self._log.error("{token}: not stored: {why}", token=abbreviate(job.token), why=str(failure))
            await self._put_off(evolve(job, attempts=attempts), _TROUBLE_SECONDS)
            return
        finally:
            self._meters.tried(attempts[-1])
        self._meters.archived(len(copy.body), len(assets))
        self._log.info(
            "{token}: archived, from {node} by {route}, {size} bytes",
            token=abbreviate(job.token),
            node=copy.node,
            route=over.route,
            size=kept.size,
        )
        self._meters.confirmed(done=await crew.fetcher.confirm(job.token, over.way))

    def stop(self) -> Deferred[Any]:
        """Begin nothing new; fires when the running rounds have ended."""
        self._stopped = True
        if self._warmth is not None:
            self._warmth.stop()
        if self._nap is not None and self._nap.active():
            self._nap.cancel()
        return DeferredList([_after(running) for running in list(self._running.values())])

    def abandon(self) -> None:
        """Cut off what still runs; every notice of it stays in the backlog."""
        for running in list(self._running.values()):
            running.cancel()


def _after(running: Deferred[None]) -> Deferred[None]:
    """Fires when another Deferred has; cancelling it cancels nothing."""
    ended: Deferred[None] = Deferred()
    running.addBoth(lambda _result: ended.callback(None))
    return ended

"""A crawler's part in a shared queue: its name, its claims, and its use of the other crawlers' routes and pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbcompanion.crawler.crawl.round_runner import SiteContext
from lbcompanion.crawler.crawl.route_exchange import RouteExchange
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.backlog import NOTICES
from lbcompanion.crawler.queue.database import BacklogError, Database
from lbcompanion.crawler.queue.farm_check import check_farm
from lbcompanion.crawler.queue.gone_crawlers import GoneCrawler, GoneCrawlers
from lbcompanion.crawler.queue.membership import NAME, Membership, session_engine
from lbcompanion.crawler.queue.route_table import ROUTES_CHANGED, RouteTable
from lbcompanion.crawler.queue.turns import PAUSED, Turns
from lbcompanion.crawler.queue.work import SharedQueue
from lbcompanion.loops import CountError, SteadyLoop, not_counted
from lbcompanion.settings import CrawlerSettings
from lbcompanion.sticky.routes import Routes

#: How often to read the routes of other crawlers without being notified, and at most how often after notifications.
_ROUTES_SECONDS, _MIN_ROUTES_SECONDS = 15.0, 0.5
#: How long one crawler may probe a site before another one may, in case that the first died.
_MINTING_SECONDS = 30.0
#: How often to look for crawlers that are gone.
_GONE_SECONDS = 60.0


class JobRunner(Protocol):
    """The scheduler, as far as claims concern it."""

    def wake(self) -> None:
        """Look for due notices now."""
        ...

    def running_tokens(self) -> tuple[str, ...]:
        """Return the tokens of the notices that are worked on."""
        ...

    def cancel(self, tokens: Iterable[str]) -> None:
        """Cancel jobs whose claims are lost."""
        ...

    def on_node_back(self, node: str) -> None:
        """Make a node's notices due at once."""
        ...


class Sharing:
    """The part of one crawler.

    :param defer: runs a blocking call on the backlog's thread.
    :param count_error: counts errors of the loops.
    :ivar work: the claims, for the scheduler.
    """

    def __init__(
        self,
        settings: CrawlerSettings,
        name: str,
        database: Database,
        health: Health,
        reactor: Any,
        defer: Any,
        count_error: CountError = not_counted,
    ) -> None:
        crawler = settings.crawler
        self.work = SharedQueue(
            database,
            name,
            crawler.per_node or crawler.concurrency,
            crawler.lease_seconds,
            sites=settings.sites,
            give_up_after_seconds=crawler.give_up_after_seconds,
        )
        self._secret = crawler.secret
        self._database = database
        database.claimant = self.work.claimant
        self._sites = settings.sites
        self._health = health
        self._reactor = reactor
        self._defer: Callable[..., Deferred[Any]] = defer
        self._table = RouteTable(database)
        self._turns = Turns(database, self.work.claimant)
        engine = session_engine(crawler.queue)
        self._membership = Membership(
            engine, database, name, self.work.claimant, self._notified_in_thread, self._name_reported
        )
        self.work.may_claim = lambda: self._membership.is_held
        self._count_error = count_error
        self._renewal = self._loop(self._renew, "leases")
        self._renewal_seconds = crawler.lease_seconds / 3
        self._route_loop = self._loop(self._load_routes, "routes of other crawlers")
        self._gone = GoneCrawlers(database, name, crawler.archive)
        self._gone_seconds = crawler.gone_seconds
        self._gone_loop = self._loop(self._look_for_gone, "gone crawlers")
        self._gone_names: set[str] = set()
        self._soon: IDelayedCall | None = None
        self._runner: JobRunner | None = None
        self._contexts: Mapping[str, SiteContext] = {}
        self._exchange: RouteExchange | None = None
        self._log = Logger(namespace="lbcompanion.crawler.queue")

    def _loop(self, call: Callable[[], object], name: str) -> SteadyLoop:
        return SteadyLoop(call, name=name, clock=self._reactor, count_error=self._count_error)

    def join(self) -> None:
        """Take the name, and the claims of an earlier run of it; blocking, on the backlog's thread.

        :raises QueueOfAnotherFarm: if the queue is used with another secret.
        :raises CrawlerNameInUse: if another crawler of this name runs.
        :raises BacklogError: if the database fails.
        """
        try:
            check_farm(self._database, self._secret)
            self._membership.join()
        except SQLAlchemyError as failure:
            raise BacklogError(f"the queue's database failed: {type(failure).__name__}") from None
        self.work.give_back_of_earlier_runs()

    def start(self, runner: JobRunner, routes: Routes, contexts: Mapping[str, SiteContext]) -> None:
        """Begin to renew leases and to take over routes."""
        self._runner = runner
        self._contexts = contexts
        self._exchange = RouteExchange(self._table, routes, self._sites, runner.on_node_back)
        for name, context in contexts.items():
            context.minter.take_turn = self._minting_turn(name)
            context.minter.end_turn = self._end_of_minting(name)
            context.fetcher.site_pause.on_pause = self._pause_of(name)
        self._renewal.start(self._renewal_seconds, now=False)
        self._route_loop.start(_ROUTES_SECONDS, now=False)
        if self._gone_seconds:
            self._gone_loop.start(_GONE_SECONDS, now=False)

    def _minting_turn(self, site: str) -> Callable[[], Deferred[bool]]:
        return lambda: self._defer(self._turns.take, f"minting {site}", _MINTING_SECONDS)

    def _end_of_minting(self, site: str) -> Callable[[], object]:
        # The thread may be gone: then all turns have ended.
        return lambda: maybeDeferred(self._defer, self._turns.end, f"minting {site}").addErrback(lambda _failure: None)

    def _pause_of(self, site: str) -> Callable[[float], object]:
        return lambda seconds: self._defer(self._turns.pause, site, seconds).addErrback(self._on_failed)

    def _load_pauses(self) -> Deferred[None]:
        return self._defer(self._turns.pauses).addCallback(self._on_pauses).addErrback(self._on_failed)

    def _on_pauses(self, pauses: Mapping[str, float]) -> None:
        for site, seconds in pauses.items():
            if site in self._contexts:
                self._contexts[site].fetcher.site_pause.extend(seconds)

    def _renew(self) -> Deferred[None]:
        assert self._runner is not None
        renewed = self._defer(self.work.renew, self._runner.running_tokens())
        return renewed.addCallbacks(self._on_renewed, self._on_failed)

    def _on_renewed(self, lost: set[str]) -> None:
        if lost and self._runner is not None:
            self._log.warn("{count} claims are lost: their leases had ended", count=len(lost))
            self._runner.cancel(lost)

    def _on_failed(self, failure: Any) -> None:
        # The database's failure is reported by the crawler's health.
        if not failure.check(BacklogError):
            self._log.failure("a defect", failure=failure)

    def _notified_in_thread(self, what: str) -> None:
        self._reactor.callFromThread(self._notified, what)

    def _notified(self, what: str) -> None:
        if self._runner is None:
            return
        if what in {ROUTES_CHANGED, ""} and self._soon is None:
            self._soon = self._reactor.callLater(_MIN_ROUTES_SECONDS, self._load_routes_soon)
        if what in {PAUSED, ""}:
            self._load_pauses()
        if what in {NOTICES, ""}:
            self._runner.wake()

    def _load_routes_soon(self) -> None:
        self._soon = None
        self._load_routes()

    def _load_routes(self) -> Deferred[None]:
        assert self._exchange is not None
        self._load_pauses()
        return self._defer(self._exchange.load).addCallback(self._exchange.take_over).addErrback(self._on_failed)

    def _look_for_gone(self) -> Deferred[None]:
        return self._defer(self._gone.look, self._gone_seconds).addCallback(self._on_gone).addErrback(self._on_failed)

    def _on_gone(self, found: list[GoneCrawler]) -> None:
        """Report the archive files of other crawlers that only those can upload, rewrite and show."""
        names = {each.name for each in found}
        for each in found:
            doomed = f", and {each.doomed} that it had to remove" if each.doomed else ""
            files = f"{each.files} archive files{doomed}"
            why = f"{files} are on the disk of {each.host}; start it again, or see several-crawlers"
            self._health.failed(f"the crawler {each.name} is gone", why)
        for name in self._gone_names - names:
            self._health.works(f"the crawler {name} is gone")
        self._gone_names = names

    def _name_reported(self, why: str) -> None:
        if why:
            self._health.failed(NAME, why)
        else:
            self._health.works(NAME)

    def stop(self) -> None:
        """Renew no more leases, and take over no more routes."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        for loop in (self._route_loop, self._renewal, self._gone_loop):
            loop.stop()
        self._runner = None

    def leave(self) -> None:
        """Give back the claims, the turns and the name; blocking, on the backlog's thread."""
        try:
            self.work.give_back_all()
            self._turns.end_all()
        except BacklogError as failure:
            self._log.warn("claims and turns end by themselves: {why}", why=str(failure))
        self._membership.leave()

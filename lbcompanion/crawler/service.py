"""The crawler as a Twisted service: opens database and archive, listens, crawls, and stops in order."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, execute, maybeDeferred
from twisted.logger import Logger

from lbcompanion.crawler.access.command_token import write_command_token
from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.activity import Activity
from lbcompanion.crawler.activity_writer import ActivityWriter
from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.access import AuditPruning, build_access
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.api import admin_resource
from lbcompanion.crawler.admin.audit_trail import AuditTrail
from lbcompanion.crawler.admin.endpoint import Caller
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.admin.guard import Access
from lbcompanion.crawler.admin.health_api import HealthApi
from lbcompanion.crawler.admin.listener import AdminResource, admin_site
from lbcompanion.crawler.admin.script_pages import ScriptPages
from lbcompanion.crawler.admin.stream_api import StreamApi
from lbcompanion.crawler.admin.viewings import Viewings
from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.lock import InUse, Locks
from lbcompanion.crawler.archive.object_store import ObjectStore
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.uploads import Uploads
from lbcompanion.crawler.crawl.intake import Intake, IntakeLimits, intake_site
from lbcompanion.crawler.crawl.round_runner import RoundRunner, SiteContext
from lbcompanion.crawler.crawl.route_refresh import RouteRefresher
from lbcompanion.crawler.crawl.scheduler import Scheduler
from lbcompanion.crawler.crawl.sharing import Sharing
from lbcompanion.crawler.crawl.unconfirmed import LAST_SECONDS, MOST_PAGES, Unconfirmed
from lbcompanion.crawler.crawler_name import crawler_name, remember
from lbcompanion.crawler.dns_check import DnsCheck
from lbcompanion.crawler.erasure.eraser import Eraser
from lbcompanion.crawler.erasure.erasure_service import ErasureContext, ErasureService, build_eraser
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.listeners import Listeners
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.outcome_watch import OutcomeWatch
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.crawler.queue.admission import Admission
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.audit import AuditLog
from lbcompanion.crawler.queue.backlog import Arrival, Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine, queue_file
from lbcompanion.crawler.queue.erasures import Erasures
from lbcompanion.crawler.queue.outcomes import Outcomes
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.queue.turns import Turns
from lbcompanion.crawler.queue.webhook_table import WebhookTable
from lbcompanion.crawler.routes.visitor_cookies import load_trusted_routes, note_values
from lbcompanion.crawler.sites import AgentFactory, build_sites, network_agents, nonce
from lbcompanion.crawler.threads import Threads
from lbcompanion.crawler.webhooks import senders
from lbcompanion.crawler.webhooks.delivery import body_writer
from lbcompanion.crawler.webhooks.sender import SenderParts
from lbcompanion.errors import CompanionError
from lbcompanion.loops import SteadyLoop
from lbcompanion.malloc_tuning import RETURN_MEMORY_SECONDS, return_freed_memory
from lbcompanion.model import Loss, WallClock
from lbcompanion.settings import CrawlerSettings
from lbcompanion.sticky.ladder import LadderLimits
from lbcompanion.sticky.routes import Route, Routes

#: How long a stop waits for running fetches, in seconds.
STOP_SECONDS = 10.0


class StartFailed(CompanionError):
    """The crawler cannot start; the text says why."""


class CrawlerAlreadyRuns(StartFailed):
    """Another process uses the state directory, the queue or the archive."""


class CrawlerService(MultiService):
    """One crawler.

    :param settings: the whole configuration.
    :param reactor: for timers, sockets and the thread pool.
    :param now: seconds since the epoch.
    :param agent_factory: makes the HTTP agents; None means agents over the network.
    :param webhook_agents: makes those of webhooks.
    :ivar threads_class: makes the threads for blocking calls.
    :ivar started: fires with the service when both listeners are open; fails if the start fails.
    :ivar intake_port: TCP port of the intake once started; 0 if it does not listen on TCP.
    :ivar admin_port: TCP port of the admin listener once started; 0 if it does not listen on TCP.
    :ivar scripts_port: TCP port of the listener where recorded pages run their scripts; 0 if there is none on TCP.
    """

    threads_class = Threads

    def __init__(
        self,
        settings: CrawlerSettings,
        reactor: Any,
        now: WallClock | None = None,
        agent_factory: AgentFactory | None = None,
        webhook_agents: senders.WebhookAgents | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = settings
        self.intake_port = 0
        self.admin_port = 0
        self.scripts_port = 0
        self.started: Deferred[CrawlerService] = Deferred()
        self._reactor = reactor
        self._now = now or time.time
        # Tests pass agents without a network; then there are no names to resolve either.
        self._resolves_names = agent_factory is None
        self._agent_factory = agent_factory or network_agents(reactor, settings.fetch)
        self._metrics = CrawlerMetrics()
        count_error = self._metrics.count_background_error
        self._log = Logger(namespace="lbcompanion.crawler.service")
        #: The one thread of the database.
        self._database_thread = self.threads_class(reactor, "backlog")
        #: Reads pages and style sheets, so that neither listeners nor the backlog wait.
        self._parser_thread = self.threads_class(reactor, "parsing")
        #: Two threads, for uploads and for reading archived pages: an object store may be slow.
        self._archive_threads = self.threads_class(reactor, "object store", max_threads=2)
        #: Rewrites pages for the dashboard, so that the crawler's own reading does not wait for it.
        self._replay_thread = self.threads_class(reactor, "replay")
        #: Checks passwords, one at a time, so that their memory is bounded.
        self._check_passwords = self.threads_class(reactor, "passwords")
        self._health = Health()
        self._name = crawler_name(settings.crawler)
        self._database = Database(open_engine(settings.crawler.queue), self._health)
        self._activity = Activity()
        self._backlog = Backlog(self._database)
        self._activity_table = ActivityTable(self._database, self._name)
        self._activity_writer = ActivityWriter(
            self._activity,
            self._activity_table,
            defer=self._database_thread,
            reactor=reactor,
            now=self._now,
            count_error=count_error,
        )
        self._outcome_watch = OutcomeWatch(
            Outcomes(self._database),
            settings.outcomes,
            defer=self._database_thread,
            reactor=reactor,
            now=self._now,
            count_error=count_error,
        )
        self._stream = StreamApi(
            self._outcome_watch, settings.outcomes, defer=self._database_thread, reactor=reactor, metrics=self._metrics
        )
        self._route_table = RouteTable(self._database)
        self._audit_log = AuditLog(self._database)
        self._audit_pruning = AuditPruning(
            self._audit_log,
            days=settings.crawler.audit_days,
            defer=self._database_thread,
            now=self._now,
            reactor=reactor,
            count_error=count_error,
        )
        self._command_token = ""
        self._archive_index = ArchiveIndex(self._database, self._name)
        self._archive = Archive(
            settings.crawler.archive_dir,
            self._archive_index,
            self._now,
            rotate_bytes=settings.crawler.rotate_bytes,
            rotate_seconds=settings.crawler.rotate_seconds,
            revisit_bytes=settings.crawler.revisit_bytes,
            min_free_bytes=settings.crawler.min_free_bytes,
            health=self._health,
            on_new_folder=self._lock_archive,
        )
        self._dns_check = DnsCheck(settings.sites.values(), reactor, self._health, count_error)
        self._memory = SteadyLoop(return_freed_memory, name="memory", clock=reactor, count_error=count_error)
        self._sharing = (
            Sharing(settings, self._name, self._database, self._health, reactor, self._database_thread, count_error)
            if self._database.is_server
            else None
        )
        self._webhooks = self._build_webhooks(webhook_agents or senders.network_agents(reactor))
        self._routes = Routes()
        self._contexts: Mapping[str, SiteContext] = {}
        self._file_lock = DeferredLock()
        self._uploads = Uploads(
            archive=self._archive,
            index=self._archive_index,
            store=ObjectStore(settings.crawler.archive) if settings.crawler.archive else None,
            defer=self._database_thread,
            in_thread=self._archive_threads,
            reactor=reactor,
            metrics=self._metrics,
            health=self._health,
            jitter=random.random,
            file_lock=self._file_lock,
        )
        self._scheduler: Scheduler | None = None
        self._unconfirmed: Unconfirmed | None = None
        self._erasure: ErasureService | None = None
        self._listeners = Listeners(reactor)
        self._locks = Locks(f"{self._name} (state directory {settings.crawler.state_dir})")
        self._is_recovered = False
        self._trigger: Any = None
        self._starting: Deferred[None] | None = None

    def startService(self) -> Deferred[CrawlerService]:
        """Begin to start; returns :attr:`started`."""
        super().startService()  # type: ignore[no-untyped-call]
        for threads in self._threads():
            threads.start()
        # If the reactor stops without stopService, the threads must not keep the process alive.
        self._trigger = self._reactor.addSystemEventTrigger("after", "shutdown", self._stop_threads)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)
        return self.started

    def _not_started(self, failure: Any) -> None:
        why = str(failure.value) if failure.check(CompanionError, OSError) else failure.getTraceback()
        self._log.critical("the crawler could not start: {why}", why=why)
        self.started.errback(failure)

    def _open_state(self) -> list[Route]:
        """Create folders, lock and tables, and recover the archive; runs on the backlog's thread."""
        folder = self.settings.crawler.state_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock(folder)
        queue = queue_file(self.settings.crawler.queue)
        if queue is not None:
            _make_private(queue)
            self._lock(queue)
        self._database.open()
        if self._sharing is not None:
            self._sharing.join()
        remember(self._name, folder)
        self._archive.recover()
        self._is_recovered = True
        if self._sharing is None:  # other crawlers look after the back-offs of a shared queue
            self._backlog.make_all_due(self._now())
        return load_trusted_routes(self._route_table, self.settings.sites)

    def _lock_archive(self) -> None:
        self._lock(self.settings.crawler.archive_dir)

    def _lock(self, locked: Path) -> None:
        try:
            self._locks.lock(locked)
        except InUse as refused:
            raise CrawlerAlreadyRuns(str(refused)) from None

    async def _start(self) -> None:
        routes = self._routes = Routes(await self._database_thread(self._open_state))
        self._command_token = await self._database_thread(write_command_token, self.settings.crawler.state_dir)
        crawler = self.settings.crawler
        contexts = self._contexts = build_sites(
            self.settings, self._reactor, routes, self._save_route, self._now, self._agent_factory
        )
        limits = LadderLimits(give_up_after_seconds=crawler.give_up_after_seconds)
        round_runner = RoundRunner(
            routes=routes, save_route=self._save_route, now=self._now, jitter=random.random, limits=limits
        )
        self._scheduler = Scheduler(
            backlog=self._backlog,
            archive=self._archive,
            defer=self._database_thread,
            round_runner=round_runner,
            contexts=contexts,
            reactor=self._reactor,
            now=self._now,
            metrics=self._metrics,
            concurrency=crawler.concurrency,
            work=None if self._sharing is None else self._sharing.work,
            per_node=crawler.per_node or None,
            give_up_after_seconds=crawler.give_up_after_seconds,
            requisites=evolve(
                self.settings.requisites, enabled=crawler.requisites and self.settings.requisites.enabled
            ),
            parse=self._parser_thread,
            gather_seconds=crawler.gather_seconds,
            gather_pages=crawler.gather_pages,
            gather_bytes=crawler.gather_bytes,
            activity=self._activity,
            route_refresher=RouteRefresher(contexts=contexts, routes=routes, reactor=self._reactor, now=self._now),
        )
        self._metrics.watch(routes, lambda: [context.minter for context in contexts.values()])
        self._erasure = self._build_erasure(routes, self._scheduler.forget_files)
        intake = Intake(
            secret=crawler.secret,
            sites=self.settings.sites,
            accept=self._accept,
            now=self._now,
            count_notices=self._metrics.count_notices,
        )
        access = self._build_access()
        scripts = self._build_script_pages(access)
        activity = ActivityApi(self._activity_table, self._database_thread, self._now)
        admin = admin_resource(
            backlog=self._backlog,
            database=self._database,
            archive=self._archive,
            defer=self._database_thread,
            routes=routes,
            metrics=self._metrics,
            sites=self._origins,
            hosts=crawler.admin_hosts,
            health=self._health,
            erasure=self._erasure,
            read=self._archive_threads,
            parse=self._replay_thread,
            access=access,
            check_passwords=self._check_passwords,
            open_metrics=crawler.open_metrics,
            activity=activity,
            health_words=HealthApi(
                health=self._health,
                backlog=self._backlog,
                routes=routes,
                defer=self._database_thread,
                sites=lambda: self.settings.sites,
                activity=activity,
                webhooks=self._webhooks,
            ),
            export=ExportApi(
                open_database=lambda: Database(open_engine(crawler.queue)),
                open_reader=lambda index: ArchiveReader(crawler.archive_dir, index),
                in_thread=self._archive_threads,
                now=self._now,
            ),
            scripts=scripts,
            stream=self._stream,
            webhooks=WebhooksApi(self._webhooks),
        )
        intake_limits = IntakeLimits(
            self._reactor, crawler.intake_connections, crawler.intake_seconds, self._metrics.count_intake_limit
        )
        self.intake_port = await self._listeners.listen(crawler.listen, intake_site(intake, intake_limits))
        self.admin_port = await self._listeners.listen(crawler.admin, admin_site(admin, self._reactor))
        if scripts is not None:
            known = (*crawler.admin_hosts, *filter(None, (urlsplit(crawler.replay_scripts_origin).hostname,)))
            resource = AdminResource(scripts.endpoints(), hosts=known, for_other_sites=True)
            site = admin_site(resource, self._reactor)
            self.scripts_port = await self._listeners.listen(crawler.replay_scripts, site)
        self._log.info("crawler: intake at {intake}, admin at {admin}", intake=crawler.listen, admin=crawler.admin)
        if self._resolves_names:
            self._dns_check.start()
            self._memory.start(RETURN_MEMORY_SECONDS, now=False)
        if self._sharing is not None:
            self._sharing.start(self._scheduler, routes, contexts)
        # Before the first page gets its outcome.
        await self._webhooks.start()
        self._scheduler.wake()
        self._unconfirmed = Unconfirmed(
            contexts, routes, self._reactor, self._now, crawler.gather_seconds, self._metrics.count_confirmation
        )
        self._unconfirmed.start(
            await self._database_thread(self._archive_index.last_archived, LAST_SECONDS, MOST_PAGES)
        )
        self._uploads.start()
        self._erasure.start()
        self._audit_pruning.start()
        self._activity_writer.start()
        self._outcome_watch.start()
        self.started.callback(self)

    def open_for_command(self) -> Eraser:
        """Open the crawler's state without running the crawler; :meth:`close_after_command` closes it.

        :raises CrawlerAlreadyRuns: if the crawler runs.
        """
        try:
            self._open_state()
        except BaseException:
            self._close()
            raise
        return build_eraser(self._erasure_context(), self.erasures, execute, execute, self._now, self._health)

    @property
    def erasures(self) -> Erasures:
        """The erasures in the crawler's database."""
        return Erasures(self._database)

    def close_after_command(self) -> None:
        """Close the database, and release the locks."""
        self._close()

    def _erasure_context(self) -> ErasureContext:
        crawler = self.settings.crawler
        return ErasureContext(
            database=self._database,
            index=self._archive_index,
            archive=self._archive,
            folder=crawler.archive_dir,
            secret=crawler.secret,
            keep_days=crawler.keep_days,
            keep_bytes=crawler.keep_bytes,
            store_url=crawler.archive,
            file_lock=self._file_lock,
        )

    def _build_erasure(self, routes: Routes, forget_files: Callable[[], object]) -> ErasureService:
        return ErasureService(
            self._erasure_context(),
            defer=self._database_thread,
            reactor=self._reactor,
            now=self._now,
            health=self._health,
            routes=routes,
            on_erased=self._metrics.count_erased,
            forget_files=forget_files,
        )

    def _build_access(self) -> Access:
        trail = AuditTrail(self._audit_log, defer=self._database_thread, health=self._health, now=self._now)
        return build_access(
            self.settings.crawler,
            trail,
            health=self._health,
            metrics=self._metrics,
            clock=self._reactor.seconds,
            command_token=self._command_token,
        )

    def _build_script_pages(self, access: Access) -> ScriptPages | None:
        crawler = self.settings.crawler
        if not crawler.replay_scripts:
            return None
        viewings = Viewings(
            seconds=crawler.replay_scripts_seconds,
            most=crawler.replay_scripts_viewings,
            clock=self._reactor.seconds,
            random=secrets.token_bytes,
            metrics=self._metrics,
        )
        return ScriptPages(
            viewings=viewings,
            metrics=self._metrics,
            trail=access.trail,
            origin=crawler.replay_scripts_origin,
            port=lambda: self.scripts_port,
        )

    def _build_webhooks(self, agents: senders.WebhookAgents) -> senders.Webhooks:
        trail = AuditTrail(self._audit_log, defer=self._database_thread, health=self._health, now=self._now)
        parts = SenderParts(
            outcomes=self._outcome_watch.outcomes,
            table=WebhookTable(self._database),
            turns=Turns(self._database, self._database.claimant or self._name),
            defer=self._database_thread,
            reactor=self._reactor,
            now=self._now,
            nonce=nonce,
            jitter=random.random,
            metrics=self._metrics,
            health=self._health,
            write_body=body_writer(json_views.recording),
            log_first=lambda detail: trail.write(Caller("", Role.VIEWER, ""), "send outcomes", detail=detail),
        )
        return senders.Webhooks(self.settings.webhooks, self._outcome_watch, parts, agents)

    def reload(self) -> None:
        """Reload the certificates of the listeners."""
        self._listeners.reload()

    def _origins(self) -> list[str]:
        return [site.origin for site in self.settings.sites.values()]

    def _save_route(self, route: Route) -> None:
        def failed(failure: Any) -> None:
            self._log.error("a route could not be kept: {why}", why=str(failure.value))

        if not self._database_thread.are_running:  # a campaign ended after the service had stopped
            return
        self._database_thread(self._route_table.save, route).addErrback(failed)

    def _accept(self, arrivals: list[Arrival], losses: list[Loss]) -> Deferred[int]:
        note_values(self._routes, arrivals)
        return self._database_thread(self._add_to_backlog, arrivals, losses).addCallback(
            self._on_added, lost=bool(losses)
        )

    def _add_to_backlog(self, arrivals: list[Arrival], losses: list[Loss]) -> int:
        erasures = self._erasure.erasures if self._erasure is not None else self.erasures
        now = self._now()
        admitted = Admission(self._database, self._backlog, erasures).add(arrivals, losses, now)
        self._metrics.count_refused_erased(admitted.refused)
        for node in admitted.new:
            self._activity.seen(node, now)
        return len(admitted.new)

    def _on_added(self, new: int, *, lost: bool) -> int:
        if (new or lost) and self._scheduler is not None:
            self._scheduler.wake()
        return new

    def stopService(self) -> Deferred[None]:
        """Stop listening, wait up to :data:`STOP_SECONDS` for running fetches, close database and connections."""
        before = maybeDeferred(super().stopService)
        return before.addCallback(lambda _result: Deferred.fromCoroutine(self._stop()))

    async def _stop(self) -> None:
        if self._starting is not None:
            await DeferredList([self._starting])
        self._dns_check.stop()
        self._memory.stop()
        self._audit_pruning.stop()
        self._stream.stop()
        await self._webhooks.stop()
        self._outcome_watch.stop()
        await self._listeners.stop_listening()
        if self._unconfirmed is not None:
            self._unconfirmed.stop()
        if self._erasure is not None:
            self._erasure.stop()
        if self._scheduler is not None:
            await self._stop_scheduler(self._scheduler)
        await self._uploads.stop()
        if self._database_thread.are_running:
            await self._activity_writer.stop()
        for context in self._contexts.values():
            context.fetcher.close()
        self._listeners.close_connections()
        if self._database_thread.are_running:
            await DeferredList([self._database_thread(self._close)], consumeErrors=True)
            self._reactor.removeSystemEventTrigger(self._trigger)
            self._stop_threads()

    def _stop_threads(self) -> None:
        if self._erasure is not None:
            self._erasure.stop()
        for threads in self._threads():
            threads.stop()

    def _threads(self) -> tuple[Threads, ...]:
        return (
            self._database_thread,
            self._parser_thread,
            self._archive_threads,
            self._replay_thread,
            self._check_passwords,
        )

    async def _stop_scheduler(self, scheduler: Scheduler) -> None:
        give_up_call = self._reactor.callLater(STOP_SECONDS, scheduler.abandon)
        await scheduler.stop()
        if self._sharing is not None:
            self._sharing.stop()
        if give_up_call.active():
            give_up_call.cancel()

    def _close(self) -> None:
        if self._is_recovered:
            with suppress(BacklogError):
                self._archive.renew_mark()
        if self._sharing is not None:
            self._sharing.leave()
        self._database.close()
        self._locks.release()


def _make_private(path: Path) -> None:
    """Create the SQLite file, and its folder if missing, readable by its owner only: it holds routing cookies."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

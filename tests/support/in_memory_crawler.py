"""A crawler without its listeners, on a farm in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve

from lbcompanion.crawler.activity import Activity
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.crawl.round_runner import RoundRunner
from lbcompanion.crawler.crawl.route_refresh import RouteRefresher
from lbcompanion.crawler.crawl.scheduler import Scheduler
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.backlog import Arrival, Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.routes.visitor_cookies import load_trusted_routes, note_values
from lbcompanion.crawler.sites import build_sites
from lbcompanion.model import Loss
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.sticky.ladder import LadderLimits
from lbcompanion.sticky.routes import Routes
from tests.support.simulated_farm import SECRET, SimulatedFarm, immediately


class InMemoryCrawler:
    """A crawler without its listeners, on a farm in memory."""

    def __init__(self, farm: SimulatedFarm, folder: Path, **site: Any) -> None:
        self.farm = farm
        settings = self.settings = farm.settings(folder, **site)
        (folder / "state").mkdir(exist_ok=True)
        self.database = Database(open_engine(settings.crawler.queue))
        self.database.open()
        self.backlog = Backlog(self.database)
        self.route_table = RouteTable(self.database)
        self.archive = Archive(settings.crawler.archive_dir, ArchiveIndex(self.database), farm.now)
        self.archive.recover()
        self.routes = Routes(load_trusted_routes(self.route_table, settings.sites))
        self.metrics = CrawlerMetrics()
        self.activity = Activity()
        contexts = build_sites(settings, farm.clock, self.routes, self.route_table.save, farm.now, farm.agents)
        limits = LadderLimits(give_up_after_seconds=settings.crawler.give_up_after_seconds)
        round_runner = RoundRunner(
            routes=self.routes, save_route=self.route_table.save, now=farm.now, jitter=lambda: 0.5, limits=limits
        )
        self.contexts = contexts
        self.route_refresher = RouteRefresher(contexts=contexts, routes=self.routes, reactor=farm.clock, now=farm.now)
        self.scheduler = Scheduler(
            backlog=self.backlog,
            archive=self.archive,
            defer=immediately,
            round_runner=round_runner,
            contexts=contexts,
            reactor=farm.clock,
            now=farm.now,
            metrics=self.metrics,
            concurrency=8,
            give_up_after_seconds=settings.crawler.give_up_after_seconds,
            requisites=settings.requisites,
            route_refresher=self.route_refresher,
            activity=self.activity,
        )

    @staticmethod
    def owner_of(token: str) -> str:
        return Tokens(SECRET).owner_of(token)

    def take(self, token: str, cookies: dict[str, str] | None = None, visitor: str = "", page_url: str = "") -> None:
        notice = evolve(self.farm.notice(token, cookies), visitor=visitor)
        arrivals = [Arrival(evolve(notice, page_url=page_url) if page_url else notice, self.owner_of(token), "main")]
        note_values(self.routes, arrivals)
        self.backlog.add(arrivals, self.farm.now())
        self.scheduler.wake()

    def add_loss(self, token: str, reason: str) -> None:
        """A node says that a copy is lost."""
        self.backlog.add_losses([Loss(token, reason)], self.farm.now())
        self.scheduler.wake()

    def row(self, token: str) -> Any:
        return self.backlog.recording(token)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.farm.clock.advance(0.5)

    def page(self, token: str) -> bytes:
        row = self.row(token)
        file, offset = row["warc_file"], row["warc_offset"]
        return self.archive.reader.read_page(file, offset, *self.archive.reader.locate(file, offset))

    def close(self) -> None:
        self.scheduler.stop()
        self.database.close()

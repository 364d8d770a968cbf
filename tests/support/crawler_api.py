"""The crawler's API over a small archive: one page of each node, and one that is lost."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import treq
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.admin import api
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.health_api import HealthApi
from lbcompanion.crawler.admin.listener import AdminResource, admin_site
from lbcompanion.crawler.admin.stream_api import StreamApi
from lbcompanion.crawler.erasure.erasure_service import ErasureContext, ErasureService
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.outcome_watch import OutcomeWatch
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.outcomes import Outcomes
from lbcompanion.settings import OutcomesTable, StickyTable
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import ORIGIN, SECRET, SimulatedFarm, immediately

BASE = "http://127.0.0.1"


def admin_resource(rig: InMemoryCrawler, **more: Any) -> AdminResource:
    """The admin listener's root for a crawler in memory.

    :param more: further arguments of :func:`api.admin_resource`.
    """
    return api.admin_resource(
        backlog=rig.backlog,
        database=rig.database,
        archive=rig.archive,
        defer=immediately,
        routes=rig.routes,
        metrics=rig.metrics,
        sites=lambda: [ORIGIN],
        **more,
    )


def stream_api(rig: InMemoryCrawler, limits: OutcomesTable | None = None, clock: Clock | None = None) -> StreamApi:
    """The streams of a crawler in memory."""
    clock, limits = clock or Clock(), limits or OutcomesTable()
    outcomes = Outcomes(rig.database)
    watch = OutcomeWatch(outcomes, limits, defer=immediately, reactor=clock, now=rig.farm.now)
    return StreamApi(watch, limits, defer=immediately, reactor=clock, metrics=rig.metrics)


class ApiCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.rig = InMemoryCrawler(self.farm, Path(holder.name), sticky=StickyTable("haproxy-insert", cookies=("SRV",)))
        self.addCleanup(self.rig.close)
        self.health = Health()
        self.use()
        self.tokens = []
        for number, name in enumerate(("n1", "n2", "n3")):
            token = self.farm.nodes[name].capture(f"<script>{number}</script>".encode(), f"/<{number}>&")
            self.rig.take(token, {"SRV": "n1"})
            self.tokens.append(token)
        lost = self.farm.nodes["n1"].capture(b"x")
        self.farm.nodes["n1"].forget(lost, "expired")
        self.rig.take(lost)
        self.tokens.append(lost)

    def use(self, **more: Any) -> None:
        """Build the listener, with further parts."""
        self.listen(admin_resource(self.rig, hosts=("crawler.internal",), health=self.health, **more))

    def listen(self, admin: AdminResource) -> None:
        """Send further requests to this listener."""
        self.admin = admin
        self.site = admin_site(admin, Clock())
        self.http = StubTreq(admin)

    def get(self, path: str, method: str = "GET") -> tuple[Any, bytes]:
        response = self.successResultOf(self.http.request(method, BASE + path, reactor=Clock()))
        return response, self.successResultOf(treq.content(response))

    def json(self, path: str) -> Any:
        response, body = self.get(path)
        self.assertEqual(response.headers.getRawHeaders("cache-control"), ["no-store"])
        return json.loads(body)


def health_api(case: ApiCase, activity: ActivityApi, webhooks: Any = None) -> HealthApi:
    """The health in words of a crawler in memory."""
    return HealthApi(
        health=case.health,
        backlog=case.rig.backlog,
        routes=case.rig.routes,
        defer=immediately,
        sites=lambda: ["main"],
        activity=activity,
        webhooks=webhooks,
    )


class ErasingCase(ApiCase):
    """The API with a part that erases."""

    def setUp(self) -> None:
        super().setUp()
        rig = self.rig
        folder = rig.settings.crawler.archive_dir
        context = ErasureContext(rig.database, ArchiveIndex(rig.database), rig.archive, folder, SECRET)
        erasure = ErasureService(
            context,
            defer=immediately,
            reactor=Clock(),
            now=self.farm.now,
            health=self.health,
            routes=rig.routes,
            on_erased=rig.metrics.count_erased,
        )
        self.patch(erasure, "_work", immediately)
        self.patch(erasure.eraser._parts, "work", immediately)
        self.erasure = erasure
        self.use(erasure=erasure)

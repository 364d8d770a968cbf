"""Erasure in a running crawler."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import pytest
import treq
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from lbcompanion.crawler import erase_command
from lbcompanion.crawler.service import CrawlerService
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.visitors import visitor_pseudonyms
from tests.support.simulated_farm import SECRET, SimulatedFarm

pytestmark = pytest.mark.network


class ErasingTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.farm = SimulatedFarm()
        (self.pseudonym,) = visitor_pseudonyms(SECRET, "alice")

    def service(self, **crawler: Any) -> CrawlerService:
        settings = self.farm.settings(self.folder)
        settings = evolve(settings, crawler=evolve(settings.crawler, **crawler))
        service = CrawlerService(settings, reactor, now=self.farm.now, agent_factory=self.farm.agents)
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service

    async def deliver(self, service: CrawlerService, *tokens: str) -> None:
        url = f"http://127.0.0.1:{service.intake_port}/notices"
        notices = [evolve(self.farm.notice(token), visitor=self.pseudonym) for token in tokens]
        body = write_notices(notices)
        headers = dict(Signer(SECRET).sign("POST", url, f"n{tokens}", self.farm.now(), body))
        response = await treq.post(url, data=body, headers=headers, agent=Agent(reactor), reactor=reactor)
        self.assertEqual(response.code, 202)

    async def archived(self, service: CrawlerService, count: int) -> None:
        url = f"http://127.0.0.1:{service.admin_port}/api/stats"
        for _ in range(200):
            found = await (await treq.get(url, agent=Agent(reactor), reactor=reactor)).json()
            if found["archived"] == count:
                return
            await deferLater(reactor, 0.02)
        raise AssertionError(f"{count} pages were not archived in time")

    async def finished(self, service: CrawlerService) -> None:
        url = f"http://127.0.0.1:{service.admin_port}/api/erasures"
        for _ in range(200):
            found = await (await treq.get(url, agent=Agent(reactor), reactor=reactor)).json()
            if found["erasures"] and found["erasures"][0]["finished_at"]:
                return
            await deferLater(reactor, 0.02)
        raise AssertionError("the erasure did not end in time")

    def plain(self) -> bytes:
        return b"".join(gzip.decompress(file.read_bytes()) for file in (self.folder / "archive").glob("*.gz"))

    def test_an_erasure_on_request_makes_the_crawler_forget_files_in_memory(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._forgetting())

    async def _forgetting(self) -> None:
        service = self.service()
        service.startService()
        await service.started
        forgotten: list[bool] = []
        assert service._scheduler is not None
        self.patch(service._scheduler._page_files.source, "forget", lambda: forgotten.append(True))
        token = self.farm.nodes["n1"].capture(b"<p>secret")
        await self.deliver(service, token)
        await self.archived(service, 1)
        url = f"http://127.0.0.1:{service.admin_port}/api/recordings/{token}"
        response = await treq.delete(url, agent=Agent(reactor), reactor=reactor)
        self.assertEqual((await response.json())["records"], 1)
        self.assertEqual(forgotten, [True])

    def test_while_the_crawler_runs(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._running())

    async def _running(self) -> None:
        service = self.service()
        service.startService()
        await service.started
        token = self.farm.nodes["n1"].capture(b"<p>secret")
        await self.deliver(service, token)
        await self.archived(service, 1)
        admin = f"tcp:{service.admin_port}:interface=127.0.0.1"
        settings = evolve(service.settings, crawler=evolve(service.settings.crawler, admin=admin))
        given = {"visitor": ["alice"]}
        counted = await deferToThread(erase_command.erase, settings, given, dry_run=True)
        self.assertEqual((counted["dry_run"], counted["recordings"]), (True, 1))
        done = await deferToThread(erase_command.erase, settings, given)
        self.assertEqual((done["recordings"], done["records"], done["waiting"]), (1, 1, 0))
        self.assertNotIn(b"secret", self.plain())
        await self.deliver(service, token)
        await self.archived(service, 0)
        other = self.farm.nodes["n1"].capture(b"<p>other")
        await self.deliver(service, other)
        await self.archived(service, 1)
        state = b"".join(file.read_bytes() for file in (self.folder / "state").iterdir())
        self.assertNotIn(token.encode(), state)
        await service.stopService()

    def test_retention_in_a_running_crawler(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._retention())

    async def _retention(self) -> None:
        service = self.service(keep_days=1 / 86400)
        service.startService()
        await service.started
        await self.deliver(service, self.farm.nodes["n1"].capture(b"<p>secret"))
        await self.archived(service, 1)
        self.farm.clock.advance(60)
        await self.archived(service, 0)
        await self.finished(service)
        self.assertNotIn(b"secret", self.plain())
        await service.stopService()

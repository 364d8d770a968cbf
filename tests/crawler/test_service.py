from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import treq
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from lbcompanion.crawler.archive import uploads
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.service import CrawlerService, StartFailed
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from tests.support.object_stores import BUCKET, S3Server, objects, s3_server
from tests.support.simulated_farm import SECRET, SimulatedFarm

pytestmark = pytest.mark.network


class ServiceTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.farm = SimulatedFarm()

    def service(self) -> CrawlerService:
        return CrawlerService(
            self.farm.settings(self.folder),
            reactor,
            now=self.farm.now,
            agent_factory=self.farm.agents,
        )

    async def post(self, port: int, body: bytes) -> int:
        url = f"http://127.0.0.1:{port}/notices"
        headers = dict(Signer(SECRET).sign("POST", url, "n0nce", self.farm.now(), body))
        response = await treq.post(url, data=body, headers=headers, agent=Agent(reactor), reactor=reactor)
        await response.content()
        return int(response.code)

    async def recording(self, port: int, token: str) -> Any:
        url = f"http://127.0.0.1:{port}/api/recordings/{token}"
        for _ in range(100):
            response = await treq.get(url, agent=Agent(reactor), reactor=reactor)
            found = await response.json()
            if found.get("outcome"):
                return found
            await deferLater(reactor, 0.05)
        raise AssertionError("no outcome in time")

    def counted(self) -> dict[tuple[str, str], int]:
        """The pages by node and outcome that a crawler has counted, read once it has stopped."""
        database = Database(open_engine(f"sqlite:///{self.folder / 'state' / 'crawler.db'}"))
        counts = ActivityTable(database, "").read(0, 1e12, 60)
        database.close()
        return {(bucket.node, bucket.outcome): each.pages for bucket, each in counts.items()}

    def test_from_notice_to_archive_over_real_listeners(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._whole())

    async def _whole(self) -> None:
        logged: list[str] = []
        observer = lambda event: logged.append(f"{formatEvent(event)} {event}")  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        service = self.service()
        service.startService()
        await service.started
        token = self.farm.nodes["n3"].capture(b"<p>real")
        self.assertEqual(await self.post(service.intake_port, write_notices([self.farm.notice(token)])), 202)
        found = await self.recording(service.admin_port, token)
        self.assertEqual((found["outcome"], found["answered_by"]), ("archived", "n3"))
        response = await treq.get(
            f"http://127.0.0.1:{service.admin_port}/api/recordings/{token}/page", agent=Agent(reactor), reactor=reactor
        )
        self.assertEqual(await response.content(), b"<p>real")
        for path in (self.folder / "state", self.folder / "archive"):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "state" / "crawler.db").st_mode), 0o600)
        await self.post(service.intake_port, write_notices([self.farm.notice(token)]))  # again: seen once all the same
        await service.stopService()
        self.assertEqual(self.counted(), {("n3", "seen"): 1, ("n3", "archived"): 1})
        self.assertTrue(any("archived" in line for line in logged))
        self.assertFalse(any(token in line or "SRV=n" in line for line in logged))
        self.assertEqual(b"".join(file.read_bytes() for file in (self.folder / "state").iterdir()).count(b"SRV=n"), 0)

    def test_a_page_is_shown_with_its_scripts_at_a_listener_of_its_own(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._with_scripts())

    async def _with_scripts(self) -> None:
        settings = self.farm.settings(self.folder)
        crawler = evolve(settings.crawler, replay_scripts="tcp:0:interface=127.0.0.1")
        service = CrawlerService(
            evolve(settings, crawler=crawler), reactor, now=self.farm.now, agent_factory=self.farm.agents
        )
        service.startService()
        self.addCleanup(service.stopService)
        await service.started
        token = self.farm.nodes["n3"].capture(b"<script>go()</script>")
        await self.post(service.intake_port, write_notices([self.farm.notice(token)]))
        await self.recording(service.admin_port, token)
        ask = {"agent": Agent(reactor), "reactor": reactor, "allow_redirects": False}
        dashboard = f"http://127.0.0.1:{service.admin_port}"
        shown = await (await treq.get(f"{dashboard}/recording/{token}", **ask)).text()
        self.assertIn(f'href="/recording/{token}/scripts"', shown)
        led = await treq.get(f"{dashboard}/recording/{token}/scripts", **ask)
        (where,) = led.headers.getRawHeaders("location")
        self.assertTrue(where.startswith(f"http://localhost:{service.scripts_port}/"), where)
        here = where.replace("localhost", "127.0.0.1")
        self.assertIn('src="page"', await (await treq.get(here, **ask)).text())
        self.assertIn("<script>go()</script>", await (await treq.get(f"{here}page", **ask)).text())
        audit = await (await treq.get(f"{dashboard}/api/audit?action=view+page", **ask)).json()
        self.assertEqual(
            [(line["action"], line["token"], line["detail"]) for line in audit["audit"]],
            [("view page", token, "with scripts")],
        )

    def test_a_lost_archive_is_reported_and_the_crawl_goes_on(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._lost_archive())

    async def _health(self, port: int) -> tuple[int, str]:
        response = await treq.get(f"http://127.0.0.1:{port}/healthz", agent=Agent(reactor), reactor=reactor)
        return int(response.code), await response.text()

    async def _lost_archive(self) -> None:
        service = self.service()
        service.startService()
        await service.started
        for number in range(2):
            token = self.farm.nodes["n1"].capture(b"<p>real")
            await self.post(service.intake_port, write_notices([self.farm.notice(token)]))
            self.assertEqual((await self.recording(service.admin_port, token))["outcome"], "archived")
            code, text = await self._health(service.admin_port)
            if number == 0:
                self.assertEqual((code, text), (200, "ok\n"))
                shutil.rmtree(self.folder / "archive")
        self.assertEqual(code, 503)
        self.assertIn("bytes with archived pages are missing", text)
        self.assertTrue((self.folder / "archive" / ".crawler.lock").exists())
        await service.stopService()

    def test_only_one_at_a_time(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._twice())

    async def _twice(self) -> None:
        first, second = self.service(), self.service()
        first.startService()
        await first.started
        second.startService()
        with self.assertRaises(StartFailed) as caught:
            await second.started
        self.assertIn(f"process {os.getpid()} on ", str(caught.exception))
        for name in ("archive_dir", "queue"):
            settings = self.farm.settings(self.folder / "other")
            kept = getattr(first.settings.crawler, name)
            table = evolve(settings.crawler, **{name: kept})
            other = CrawlerService(evolve(settings, crawler=table), reactor, self.farm.now, self.farm.agents)
            other.startService()
            with self.assertRaises(StartFailed) as caught:
                await other.started
            self.assertIn(
                f"by another crawler: crawler (state directory {self.folder / 'state'}), process",
                str(caught.exception),
                name,
            )
            await other.stopService()
        await second.stopService()
        await first.stopService()
        third = self.service()
        third.startService()
        await third.started
        await third.stopService()

    async def _archive(self, service: CrawlerService, body: bytes) -> str:
        token = self.farm.nodes["n1"].capture(body)
        await self.post(service.intake_port, write_notices([self.farm.notice(token)]))
        self.assertEqual((await self.recording(service.admin_port, token))["outcome"], "archived")
        return token

    async def _page(self, service: CrawlerService, token: str) -> bytes:
        address = f"http://127.0.0.1:{service.admin_port}/api/recordings/{token}/page"
        response = await treq.get(address, agent=Agent(reactor), reactor=reactor)
        return bytes(await response.content())

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(300):
            if await condition():
                return
            await deferLater(reactor, 0.1)
        raise AssertionError("not in time")

    def test_files_go_to_an_object_store_and_pages_are_shown_from_there(self) -> Deferred[None]:
        self.patch(uploads, "INTERVAL_SECONDS", 0.1)
        self.patch(uploads, "FIRST_PAUSE_SECONDS", 0.1)
        running = s3_server()
        server = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return Deferred.fromCoroutine(self._uploaded(server))

    test_files_go_to_an_object_store_and_pages_are_shown_from_there.timeout = 90  # type: ignore[attr-defined]

    async def _uploaded(self, server: S3Server) -> None:
        archive = self.folder / "archive"

        def started() -> CrawlerService:
            settings = self.farm.settings(self.folder)
            table = evolve(settings.crawler, archive=f"s3://{BUCKET}/farm", rotate_bytes=1)
            settings = evolve(settings, crawler=table)
            service = CrawlerService(settings, reactor, now=self.farm.now, agent_factory=self.farm.agents)
            service.startService()
            return service

        async def is_uploaded() -> bool:
            return not list(archive.glob("*.warc.gz"))

        async def is_unwell() -> bool:
            return (await self._health(service.admin_port))[0] == 503

        bodies = [b"<p>first", b"<p>second", b"<p>third"]
        service = started()
        await service.started
        tokens = [await self._archive(service, bodies[0])]
        await self._until(is_uploaded)
        self.assertEqual(await self._page(service, tokens[0]), bodies[0])
        server.failing = 1 << 30
        tokens.append(await self._archive(service, bodies[1]))
        await self._until(is_unwell)
        self.assertIn("archive files cannot be uploaded", (await self._health(service.admin_port))[1])
        self.assertEqual(await self._page(service, tokens[1]), bodies[1])  # still on the disk
        await service.stopService()
        server.failing = 0
        service = started()
        await service.started
        tokens.append(await self._archive(service, bodies[2]))
        await self._until(is_uploaded)
        shutil.rmtree(archive)
        self.assertEqual([await self._page(service, token) for token in tokens], bodies)
        self.assertEqual(sorted(key.endswith(".cdxj") for key in objects(server)), [False] * 3 + [True] * 3)
        await service.stopService()

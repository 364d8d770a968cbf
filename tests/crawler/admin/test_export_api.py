from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest
from treq.testing import StubTreq
from twisted.web.test.requesthelper import DummyRequest

from lbcompanion.crawler.admin import export_api
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.queue.database import Database, open_engine
from tests.support.crawler_api import ApiCase, admin_resource
from tests.support.simulated_farm import immediately

pytestmark = pytest.mark.slow

ANN = "v1" + "a" * 22


class Consumer:
    """A request that takes in what a producer writes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_finished = False
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert not streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def finish(self) -> None:
        self.is_finished = True


class ExportApiTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        settings = self.rig.settings.crawler
        self.api = ExportApi(
            open_database=lambda: Database(open_engine(settings.queue)),
            open_reader=lambda index: ArchiveReader(settings.archive_dir, index),
            in_thread=immediately,
            now=self.farm.now,
            send=self.at_once,
        )
        self.http = StubTreq(admin_resource(self.rig, export=self.api))
        token = self.farm.nodes["n1"].capture(b"<title>Hers</title>", "/hers")
        self.rig.take(token, {"SRV": "n1"}, visitor=ANN)

    def at_once(self, file: BinaryIO, request: Any) -> Callable[[], None]:
        """In memory nothing asks a producer."""
        sent = Consumer()
        stop = export_api._send(file, sent)  # type: ignore[arg-type]
        while not sent.is_finished:
            sent.producer.resumeProducing()
        self.assertTrue(file.closed)
        stop()
        request.write(b"".join(sent.parts))
        request.finish()
        return lambda: None

    def test_a_client_that_disconnects(self) -> None:
        file, sent = io.BytesIO(b"x" * 1_000_000), Consumer()
        stop = export_api._send(file, sent)  # type: ignore[arg-type]
        sent.producer.resumeProducing()
        stop()
        self.assertTrue(file.closed)
        self.assertFalse(sent.is_finished)

    def pages(self, path: str) -> list[Any]:
        response, body = self.get(path)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/wacz"])
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            self.assertIsNone(packed.testzip())
            lines = packed.read("pages/pages.jsonl").splitlines()[1:]
        return [json.loads(line)["url"] for line in lines]

    def problem(self, path: str) -> tuple[int, str]:
        response, body = self.get(path)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/problem+json"])
        return response.code, json.loads(body)["detail"]

    def test_pages_are_exported(self) -> None:
        self.assertEqual(len(self.pages("/api/export")), 4)
        self.assertEqual(self.pages("/api/export?title=hers"), ["http://www.example.com/hers"])
        self.assertEqual(self.pages(f"/api/sessions/{ANN}/export"), ["http://www.example.com/hers"])
        self.assertEqual(self.get("/api/export", "HEAD")[1], b"")

    def name(self, path: str) -> str:
        response, _ = self.get(path)
        (field,) = response.headers.getRawHeaders("content-disposition")
        return str(field)

    def test_the_name_of_the_file_says_what_is_inside(self) -> None:
        self.farm.clock.advance(90)
        token = self.farm.nodes["n1"].capture(b"<title>Hers too</title>", "/hers")
        self.rig.take(token, {"SRV": "n1"}, visitor=ANN)
        first, last = (
            json.loads(self.get(f"/api/recordings?visitor={ANN}")[1])["recordings"][n]["viewed_at"] for n in (1, 0)
        )
        first, last = (
            f"{day}-{time[:8].replace(':', '')}Z" for day, time in (each.split("T") for each in (first, last))
        )
        self.assertNotEqual(first, last)
        self.assertEqual(
            self.name(f"/api/sessions/{ANN}/export"),
            f'attachment; filename="walk-of-v1aaaaaa-www.example.com-{first}-to-{last}.wacz"',
        )
        self.assertEqual(
            self.name(f"/api/recordings/{token}/export"), f'attachment; filename="page-www.example.com-{last}.wacz"'
        )
        self.assertTrue(self.name("/api/export").startswith('attachment; filename="pages-www.example.com-'))
        response, _ = self.get("/api/export", "HEAD")
        self.assertEqual(response.headers.getRawHeaders("content-disposition"), ["attachment"])

    def test_what_cannot_be_exported(self) -> None:
        self.assertEqual(self.problem("/api/export?title=nothing")[0], 404)
        self.assertEqual(self.problem(f"/api/sessions/v1{'b' * 22}/export")[0], 404)
        self.assertEqual(self.problem("/api/sessions/x/export")[0], 404)
        self.assertEqual(self.problem("/api/export?status=x")[0], 400)
        self.api._is_busy = True
        self.assertEqual(self.problem("/api/export"), (503, "another export is being written"))

    def test_limits(self) -> None:
        self.patch(export_api, "MAX_PAGES", 3)
        self.assertEqual(self.problem("/api/export")[0], 409)
        self.assertFalse(self.api._is_busy)
        self.patch(export_api, "MAX_PAGES", 4)
        self.patch(export_api, "MAX_BYTES", 10)
        self.assertEqual(self.problem("/api/export")[0], 409)


class _SlowRequest(DummyRequest):
    """A request whose client takes a piece at a time."""

    producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None


def test_the_end_of_a_request_stops_nothing_after_the_file_was_sent() -> None:
    """A request ends after each export, and also when the client has gone."""
    request: Any = _SlowRequest([b""])
    file = io.BytesIO(b"x" * 100_000)
    stop = export_api._send(file, request)
    ended: list[object] = []
    request.notifyFinish().addCallback(lambda _: stop()).addBoth(ended.append)
    while request.producer is not None:
        request.producer.resumeProducing()
    assert b"".join(request.written) == b"x" * 100_000
    assert file.closed
    assert ended == [None]


def test_a_client_that_has_gone_ends_the_sending() -> None:
    request: Any = _SlowRequest([b""])
    file = io.BytesIO(b"x" * 100_000)
    stop = export_api._send(file, request)
    request.producer.resumeProducing()
    stop()
    assert file.closed
    assert not request.finished

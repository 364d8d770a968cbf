"""Deadlines and caps of a running companion: who drips is gone in time, whoever comes in between is served."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lbcompanion.demo.ports import LOOPBACK
from tests.support.companion import Companion, companion
from tests.support.streaming_application import StreamingApplication

_SHORT = b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n"
#: How long a test waits for what must come; nothing is proven by how soon it does.
_PATIENCE_SECONDS = 60.0


async def _visit(companion: Companion, request: bytes = _SHORT, source: str = LOOPBACK) -> bytes:
    """One visit on a connection of its own; the answer's first line, empty where there is none."""
    reader, writer = await asyncio.open_connection(LOOPBACK, companion.port, local_addr=(source, 0))
    try:
        writer.write(request)
        with suppress(ConnectionError):
            return (await reader.readline()).rstrip()
        return b""
    finally:
        writer.close()


class _SlowSender:
    """A visitor who sends a byte now and then, for ever.

    :ivar answer: what it was told at last.
    """

    def __init__(self, beginning: bytes, rest: bytes) -> None:
        self._beginning = beginning
        self._rest = rest
        self.answer = b""

    async def run(self, port: int, patience: float) -> bool:
        """Whether it was shown the door within its patience."""
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        dripping = asyncio.create_task(self._send_slowly(writer))
        try:
            self.answer = await asyncio.wait_for(reader.read(), patience)
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            dripping.cancel()
            writer.close()

    async def _send_slowly(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(self._beginning)
            while True:
                writer.write(self._rest)
                await writer.drain()
                await asyncio.sleep(0.2)


def test_dripping_heads(tmp_path: Path) -> None:
    """50 visitors whose heads never end are gone by the deadline, others are served meanwhile."""

    async def drip(front: Companion) -> None:
        async with StreamingApplication(front.application_port):
            drippers = [_SlowSender(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"y") for _ in range(50)]
            dripping = asyncio.gather(*(dripper.run(front.port, _PATIENCE_SECONDS) for dripper in drippers))
            served = 0
            while not dripping.done():
                assert await _visit(front) == b"HTTP/1.1 200 OK"
                served += 1
                await asyncio.sleep(0.05)
            assert all(await dripping)
            assert served
            assert all(dripper.answer.startswith(b"HTTP/1.1 408 ") for dripper in drippers)

    with companion(tmp_path, "[limits]\nhead_seconds = 2\n") as front:
        asyncio.run(drip(front))
        assert not front.left_open()
        assert front.metric('timeouts_total{of="head"}') == 50
        assert not front.failures()


def test_connections(tmp_path: Path) -> None:
    """Beyond the limit newcomers are told so; who leaves makes room."""

    async def crowd(front: Companion) -> None:
        async with StreamingApplication(front.application_port):
            inside = [await asyncio.open_connection(LOOPBACK, front.port) for _ in range(10)]
            for reader, writer in inside:
                writer.write(_SHORT)
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            # Told as soon as it comes; what it asks is read over.
            assert await _visit(front, b"") == b"HTTP/1.1 503 Service Unavailable"
            assert await _visit(front) == b"HTTP/1.1 503 Service Unavailable"
            inside.pop()[1].close()
            await _until_served(front)
            for _, writer in inside:
                writer.close()

    with companion(tmp_path, "[limits]\nconnections = 10\n") as front:
        asyncio.run(crowd(front))
        assert front.metric("connections_refused_total") >= 1
        assert not front.left_open()


def test_connections_of_one_address(tmp_path: Path) -> None:
    """One address that takes too many keeps out nobody but itself."""

    async def crowd(front: Companion) -> None:
        async with StreamingApplication(front.application_port):
            inside = [await asyncio.open_connection(LOOPBACK, front.port) for _ in range(5)]
            for reader, writer in inside:
                writer.write(_SHORT)
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            # Told as soon as it comes: what it would have asked may not be read any more.
            assert await _visit(front, b"") == b"HTTP/1.1 503 Service Unavailable"
            assert await _visit(front, source="127.0.0.2") == b"HTTP/1.1 200 OK"
            inside.pop()[1].close()
            await _until_served(front)
            for _, writer in inside:
                writer.close()

    with companion(tmp_path, "[limits]\nconnections_per_address = 5\n") as front:
        asyncio.run(crowd(front))
        assert not front.left_open()


def test_too_few_descriptors(tmp_path: Path) -> None:
    """Where few may be open, fewer connections are taken; nothing fails for want of one."""

    async def crowd(front: Companion) -> int:
        async with StreamingApplication(front.application_port):
            inside = [await asyncio.open_connection(LOOPBACK, front.port) for _ in range(120)]
            told = []
            for reader, writer in inside:
                # Each holds one to the application as well, where it is let in.
                writer.write(b"GET /bytes?10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                with suppress(ConnectionError):
                    told.append(await reader.readline())
            for _, writer in inside:
                writer.transport.abort()
            await _until_served(front)
            return told.count(b"HTTP/1.1 200 OK\r\n")

    with companion(tmp_path, descriptors=300) as front:
        assert asyncio.run(crowd(front)) == 50
        assert "too few file descriptors" in front.child.log.read_text()
        assert not front.left_open()
        assert not front.failures()


async def _until_served(front: Companion) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while await _visit(front) != b"HTTP/1.1 200 OK":
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


# What takes twenty seconds and more runs beside the other tests of this module.


async def _dripping_body(front: Companion) -> bytes:
    async with StreamingApplication(front.application_port):
        one = _SlowSender(b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"y")
        assert await one.run(front.port, 45)
        return one.answer


async def _stalled_reader(front: Companion) -> bool:
    """Whether a visitor who stops reading in mid-answer is shown the door, and the application spared the rest."""
    async with StreamingApplication(front.application_port) as application:
        link = socket.create_connection((LOOPBACK, front.port))
        try:
            link.sendall(b"GET /bytes?100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            until = time.monotonic() + _PATIENCE_SECONDS
            while not application.cut and time.monotonic() < until:
                await asyncio.sleep(0.1)
            return bool(application.cut)
        finally:
            link.close()


@pytest.fixture(scope="module", name="long_ones", autouse=True)
def _long_ones(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[object]]]:
    def run(name: str, what: object) -> object:
        with companion(
            tmp_path_factory.mktemp(name), "[limits]\nidle_seconds = 2\nupstream_seconds = 2\nstalled_seconds = 2\n"
        ) as front:
            return asyncio.run(what(front))  # type: ignore[operator]

    asked = [item for item in request.session.items if "long_ones" in getattr(item, "fixturenames", ())]
    if not any(item.name in ("test_dripping_body", "test_stalled_reader") for item in asked):
        yield {}
        return
    with ThreadPoolExecutor(2) as pool:
        yield {
            "body": pool.submit(run, "body", _dripping_body),
            "reader": pool.submit(run, "reader", _stalled_reader),
        }


def test_dripping_body(long_ones: dict[str, Future[object]]) -> None:
    """A body that comes more slowly than body_bytes_per_second is given up."""
    assert bytes(long_ones["body"].result()).startswith(b"HTTP/1.1 408 ")  # type: ignore[call-overload]


def test_stalled_reader(long_ones: dict[str, Future[object]]) -> None:
    assert long_ones["reader"].result()

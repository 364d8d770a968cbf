"""Bodies of any size pass a running companion in bounded memory, however slowly they are taken."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress

import pytest

from lbcompanion.demo.ports import LOOPBACK
from lbcompanion.http1.framing import ChunkedReader
from tests.support.companion import Companion, companion
from tests.support.streaming_application import StreamingApplication

_MEGABYTE = 1048576
_LARGE = 200 * _MEGABYTE
#: Generous: a body held whole would be several times as much. Allocators keep what they have had once.
_GROWTH = 48 * _MEGABYTE


class _Peak:
    """How far a companion's memory grew while something ran."""

    def __init__(self, front: Companion) -> None:
        self._front = front
        self.grown = 0

    async def during(self, what: Coroutine[None, None, None]) -> None:
        """Await it, and look again and again meanwhile."""
        before = self._front.memory_bytes()
        task = asyncio.create_task(what)
        while not task.done():
            await asyncio.wait([task], timeout=0.05)
            self.grown = max(self.grown, self._front.memory_bytes() - before)
        await task


@pytest.fixture(scope="module", name="front")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    with companion(tmp_path_factory.mktemp("memory")) as one:
        yield one
        assert not one.left_open()
        assert not one.failures()


async def _open(front: Companion, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(LOOPBACK, front.port)
    writer.write(request)
    return reader, writer


async def _download(front: Companion, path: bytes) -> int:
    """Ask for something large; how many bytes came behind the head."""
    reader, writer = await _open(front, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    count = 0
    while piece := await reader.read(_MEGABYTE):
        count += len(piece)
    writer.close()
    return count


async def _upload(front: Companion, chunked: bool) -> bytes:
    """Send something large; what the application says that it got."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % _LARGE
    reader, writer = await _open(
        front, b"PUT /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framing + b"\r\n\r\n"
    )
    block = bytes(262144)
    for _ in range(_LARGE // len(block)):
        writer.write(b"40000\r\n" + block + b"\r\n" if chunked else block)
        await writer.drain()
    writer.write(b"0\r\n\r\n" if chunked else b"")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n\r\n")[2]


def _run(front: Companion, what: Callable[[StreamingApplication], Coroutine[None, None, None]]) -> int:
    """How far memory grew while something ran."""

    async def run() -> int:
        async with StreamingApplication(front.application_port) as application:
            peak = _Peak(front)
            await peak.during(what(application))
            return peak.grown

    return asyncio.run(run())


@pytest.mark.parametrize(("path", "least"), [("/bytes", _LARGE), ("/chunks", _LARGE), ("/page", _LARGE // 4)])
def test_download(path: str, least: int, front: Companion) -> None:
    async def download(application: StreamingApplication) -> None:
        count = await _download(front, f"{path}?{least}".encode())
        # In chunks, and with a script in it, it is somewhat more.
        assert count >= least
        assert application.sent == least

    assert _run(front, download) < _GROWTH


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_upload(chunked: bool, front: Companion) -> None:
    async def upload(application: StreamingApplication) -> None:
        assert await _upload(front, chunked) == b"%d" % _LARGE
        assert application.taken == _LARGE

    assert _run(front, upload) < _GROWTH


def test_slow_readers(front: Companion) -> None:
    """20 visitors who read nothing of 64 MB each: what they do not take is not asked of the application."""
    count, size = 20, 64 * _MEGABYTE

    async def stall(application: StreamingApplication) -> None:
        visitors = [await _open(front, b"GET /bytes?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size) for _ in range(count)]
        # They stand still once all buffers between are full.
        before = -1
        while application.sent != before:
            before = application.sent
            await asyncio.sleep(0.5)
        assert application.sent < count * size // 2
        # Whoever goes on reading gets all of it.
        reader, _ = visitors[0]
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        left = size
        while left:
            left -= len(await reader.read(_MEGABYTE))
        for _, writer in visitors:
            writer.transport.abort()

    assert _run(front, stall) < _GROWTH


def test_slow_application(front: Companion) -> None:
    """Bytes that an application does not read are not read from the visitor."""

    async def run() -> int:
        async def take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ended.wait()
            writer.close()

        ended = asyncio.Event()
        server = await asyncio.start_server(take_nothing, LOOPBACK, front.application_port, limit=65536)
        sent = 0

        async def send() -> None:
            nonlocal sent
            _, writer = await _open(front, b"PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % _LARGE)
            block = bytes(262144)
            while sent < _LARGE:
                writer.write(block)
                await writer.drain()
                sent += len(block)

        peak = _Peak(front)

        async def watch() -> None:
            sending = asyncio.create_task(send())
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.5)
            sending.cancel()

        await peak.during(watch())
        assert sent < _LARGE // 4
        ended.set()
        server.close()
        return peak.grown

    assert asyncio.run(run()) < _GROWTH


def test_page_that_swells(front: Companion) -> None:
    """A page of 100 MB in 100 KB of gzip reaches the visitor, coded as it was, and is not kept."""
    page = b"<!doctype html><html><head><title>x</title></head><body>"
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    coded = coder.compress(page) + b"".join(coder.compress(bytes(_MEGABYTE)) for _ in range(100)) + coder.flush()

    async def swell(application: StreamingApplication) -> None:
        application.said[b"/swells"] = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            % len(coded)
        ) + coded
        reader, writer = await _open(
            front, b"GET /swells HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nContent-Encoding: gzip\r\n" in head
        body = await reader.read()
        writer.close()
        whole = _unchunked(body) if b"\r\nTransfer-Encoding: chunked\r\n" in head else body
        assert _inflated(whole) >= len(page) + 100 * _MEGABYTE

    captured = front.metric("pages_captured_total")
    assert _run(front, swell) < _GROWTH
    assert front.metric("pages_captured_total") == captured


def _unchunked(body: bytes) -> bytes:
    reader = ChunkedReader()
    data, rest = reader.feed(body)
    assert reader.done
    assert not rest
    return data


def _inflated(coded: bytes) -> int:
    decoder = zlib.decompressobj(31)
    count = 0
    while coded:
        count += len(decoder.decompress(coded, _MEGABYTE))
        coded = decoder.unconsumed_tail
    assert decoder.eof
    return count


def test_visitor_who_only_asks(front: Companion) -> None:
    """A pipeline of requests whose answers nobody takes, more than the kernel holds: some time no more are read."""

    async def ask(application: StreamingApplication) -> None:
        _, writer = await _open(front, b"")
        asking = b"GET /_lbc/fetch-from.js HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
        sent = 0
        with suppress(TimeoutError):
            for _ in range(800):
                writer.write(asking)
                async with asyncio.timeout(2):
                    await writer.drain()
                sent += 1
        assert sent < 800
        writer.transport.abort()

    assert _run(front, ask) < _GROWTH

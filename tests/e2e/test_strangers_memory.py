"""What 10,000 requests of strangers leave in memory is small, at a node and at the crawler's intake."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from lbcompanion.protocol.tokens import Tokens
from tests.support.children import Children, wait_for
from tests.support.companion import SECRET, Companion, companion
from tests.support.farm import listens
from tests.support.hostile_requests import CRAWLER_REQUESTS, NODE_REQUESTS, Kind, get, notice, padded, post

pytestmark = pytest.mark.slow

_MAX_GROWTH = 32 * 1048576
#: A crawler keeps nothing of them. What one of its ten kinds leaves would be ten times as much with that kind alone.
_MAX_CRAWLER_GROWTH = 8 * 1048576
_REQUESTS = 10_000
_CONNECTIONS = 8
_PAGE = b"<!doctype html><html><head><title>x</title></head><body>x</body></html>"
_HTML = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: SRV=n1\r\nContent-Length: %d\r\n\r\n" % len(_PAGE)
    + _PAGE
)
_FILE = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx"


class _Application(asyncio.Protocol):
    """Answers each request that has no body at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        for head in heads:
            self._transport.write(_FILE if b"/file/" in head[:20] else _HTML)


async def _response(reader: asyncio.StreamReader) -> bool:
    """Read one final response; return whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        await reader.readexactly(int(length))
    return b"connection: close" not in head and (bool(length) or head[9:12] in (b"204", b"304"))


class _Stranger:
    """Sends requests one after another, on a new connection where the last one was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.answered = 0

    async def send(self, request: bytes) -> None:
        if self._link is None:
            self._link = await asyncio.open_connection(LOOPBACK, self._port)
        reader, writer = self._link
        try:
            writer.write(request)
            stays = await asyncio.wait_for(_response(reader), 60)
            self.answered += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            stays = False
        if not stays:
            self.close()

    def close(self) -> None:
        if self._link is not None:
            self._link[1].transport.abort()
            self._link = None


async def _send_all(port: int, kinds: Mapping[str, Kind], numbers: range) -> int:
    """Send the kinds in turn, over several connections; return how many requests were answered."""
    makers, left = list(kinds.values()), iter(numbers)

    async def one_connection() -> int:
        stranger = _Stranger(port)
        for number in left:
            await stranger.send(makers[number % len(makers)](number))
        stranger.close()
        return stranger.answered

    return sum(await asyncio.gather(*(one_connection() for _ in range(_CONNECTIONS))))


async def _leave_half(port: int, count: int, begin: Callable[[int], bytes]) -> None:
    """Open connections, send the beginning of a request on each, and leave."""
    for first in range(0, count, 50):
        links = [await asyncio.open_connection(LOOPBACK, port) for _ in range(first, first + 50)]
        for number, (_, writer) in enumerate(links, first):
            writer.write(begin(number))
        for _, writer in links:
            with suppress(ConnectionError):
                await asyncio.wait_for(writer.drain(), 60)
        for _, writer in links:
            writer.transport.abort()


def _half_head(number: int) -> bytes:
    return get(b"/page", b"X: " + padded(number, 60000))[:-2]


def _half_body(number: int) -> bytes:
    return post(b"/_lbc/notice" if number % 2 else b"/page", padded(number, 60000))[:-100]


async def _wait_for_growth_below(limit: int, memory: Callable[[], int], before: int) -> int:
    """The growth of memory, once it is below the limit or after a while: idle buffers are given back by and by."""
    until = time.monotonic() + 60
    while (grown := memory() - before) >= limit and time.monotonic() < until:
        await asyncio.sleep(0.5)
    return grown


@pytest.fixture(scope="module", name="node")
def _node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    ports = ReservedPorts()
    # Copies have a limit of their own, and so has the spool, for a crawler that is away.
    limits = "[limits]\nspool_bytes = 4194304\n[store]\nmax_bytes = 4194304\nmax_pages = 1000\n"
    try:
        intake = f"http://{LOOPBACK}:{ports.take()}"
        with companion(tmp_path_factory.mktemp("strangers"), limits, intake=intake) as node:
            yield node
            assert not node.failures()
    finally:
        ports.release()


def _crawler_memory(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture(name="crawler")
def _crawler(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The process and the port of a crawler's listener."""
    ports, children = ReservedPorts(), Children(tmp_path)
    port, admin, site = ports.take(), ports.take(), ports.take()
    (tmp_path / "farm.secret").write_bytes(SECRET)
    file = tmp_path / "crawler.toml"
    file.write_text(
        f"""[crawler]
listen = "tcp:{port}:interface={LOOPBACK}"
admin = "tcp:{admin}:interface={LOOPBACK}"
secret_file = "farm.secret"
[sites.shop]
origin = "http://{LOOPBACK}:{site}"
"""
    )
    try:
        child = children.lbcompanion("crawler", "crawler", "--config", str(file))
        wait_for("the crawler", lambda: listens(port, "/notices", (404, 405)), 90, child)
        yield child.pid, port
        assert not child.died()
    finally:
        children.kill()
        ports.release()


def test_a_crawler_keeps_little_of_what_strangers_send(crawler: tuple[int, int]) -> None:
    pid, port = crawler

    async def run() -> int:
        await _send_all(port, CRAWLER_REQUESTS, range(500))
        before = _crawler_memory(pid)
        assert await _send_all(port, CRAWLER_REQUESTS, range(500, 500 + _REQUESTS)) > 0.9 * _REQUESTS
        await _leave_half(port, 500, lambda number: get(b"/notices", b"X: " + padded(number, 12000))[:-2])
        await _leave_half(port, 500, lambda number: post(b"/notices", padded(number, 60000))[:-100])
        return await _wait_for_growth_below(_MAX_CRAWLER_GROWTH, lambda: _crawler_memory(pid), before)

    assert asyncio.run(run()) < _MAX_CRAWLER_GROWTH


def test_a_node_keeps_little_of_what_strangers_send(node: Companion) -> None:
    async def run() -> int:
        server = await asyncio.get_running_loop().create_server(_Application, LOOPBACK, node.application_port)
        async with server:
            kinds = NODE_REQUESTS | {"own notices": _own_notice}
            await _send_all(node.port, kinds, range(500))
            before = node.memory_bytes()
            # A connection that is closed with unread bytes may lose its answer.
            assert await _send_all(node.port, kinds, range(500, 500 + _REQUESTS)) > 0.9 * _REQUESTS
            await _leave_half(node.port, 500, _half_head)
            await _leave_half(node.port, 500, _half_body)
            return await _wait_for_growth_below(_MAX_GROWTH, node.memory_bytes, before)

    assert asyncio.run(run()) < _MAX_GROWTH


def _own_notice(number: int) -> bytes:
    """A notice with a token of the farm: every visitor of a page knows one."""
    own = Tokens(SECRET, "n1", random.Random(number).randbytes).mint().encode()
    cookies = b"Cookie: " + b"; ".join(b"SRV%d_%d=n1" % (number, index) for index in range(500))
    return post(b"/_lbc/notice", notice(own, number), cookies)

"""WebSocket through a running companion, a real library at both ends; after the groups of cases that Autobahn has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from lbcompanion.demo.ports import LOOPBACK
from tests.support.companion import Companion, companion

_MEGABYTE = 1048576
_TEXT = "Grüße, κόσμε, 🎈 "
#: A tunnel is no connection that idles, nor an answer that is awaited.
_HASTY = "[limits]\nidle_seconds = 1\nupstream_seconds = 1\nhead_seconds = 1\n"


@pytest.fixture(scope="module", name="front")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    with companion(tmp_path_factory.mktemp("websocket"), _HASTY) as one:
        yield one
        assert not one.left_open()
        assert not one.failures()


class _Echo:
    """An application that says what it hears.

    :ivar closed: how each of its connections ended: code and reason.
    """

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []
        self.subprotocols: list[str | None] = []

    async def __call__(self, connection: ServerConnection) -> None:
        self.subprotocols.append(connection.subprotocol)
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass
        await connection.wait_closed()
        self.closed.append((connection.close_code or 0, connection.close_reason or ""))


@asynccontextmanager
async def _tunnel(
    front: Companion,
    compression: str | None = None,
    application: Callable[..., Coroutine[None, None, None]] | None = None,
) -> AsyncIterator[ClientConnection]:
    """A visitor's connection to an application that echoes."""
    listening = serve(
        application or _Echo(), LOOPBACK, front.application_port, compression=compression, max_size=32 * _MEGABYTE
    )
    address = f"ws://{LOOPBACK}:{front.port}/chat?room=1"
    async with listening, connect(address, compression=compression, max_size=32 * _MEGABYTE) as visitor:
        yield visitor


_SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, _MEGABYTE)


@pytest.mark.parametrize("compression", [None, "deflate"], ids=["plain", "deflated"])
def test_sizes(front: Companion, compression: str | None) -> None:
    """Messages of all lengths of length, binary and text (Autobahn 1, 9, 12)."""

    async def talk() -> None:
        async with _tunnel(front, compression) as visitor:
            for size in _SIZES:
                binary = bytes(at * 7 % 256 for at in range(min(size, 4096))) * max(size // 4096, 1)
                text = (_TEXT * (size // len(_TEXT) + 1))[:size]
                await visitor.send(binary)
                assert await visitor.recv() == binary
                await visitor.send(text)
                assert await visitor.recv() == text

    asyncio.run(talk())


def test_pings(front: Companion) -> None:
    """Pings and pongs pass both ways, between the fragments of a message too (Autobahn 2, 5)."""

    async def talk() -> None:
        async with _tunnel(front) as visitor:
            for payload in (b"", b"hello", b"\x00\xff\xfe", b"x" * 125):
                await (await visitor.ping(payload))
            answers = [await visitor.ping(b"%d" % number) for number in range(10)]
            await asyncio.gather(*answers)
            await visitor.pong(b"nobody asked")

            async def fragments() -> AsyncIterator[str]:
                yield "one "
                await (await visitor.ping(b"between"))
                yield "two"

            await visitor.send(fragments())
            assert await visitor.recv() == "one two"

    asyncio.run(talk())


@pytest.mark.parametrize("size", [1, 64, 4096, 10000])
def test_fragments(front: Companion, size: int) -> None:
    """A message in many fragments is one message (Autobahn 5, 9)."""
    whole = (bytes(range(256)) * 4096)[: size * 100]

    async def talk() -> None:
        async with _tunnel(front) as visitor:
            await visitor.send(whole[at : at + size] for at in range(0, len(whole), size))
            assert await visitor.recv() == whole

    asyncio.run(talk())


def test_bytes_that_come_one_by_one(front: Companion) -> None:
    """A frame may be cut anywhere, within a character too (Autobahn 6)."""

    async def talk() -> None:
        async with _tunnel(front) as visitor:
            frame = visitor.protocol
            frame.send_text(_TEXT.encode(), fin=True)
            for data in frame.data_to_send():
                for at in range(len(data)):
                    visitor.transport.write(data[at : at + 1])
                    await asyncio.sleep(0)
            assert await visitor.recv() == _TEXT

    asyncio.run(talk())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "gone"), (3000, "x" * 123), (4999, "ä" * 60)])
def test_close_by_the_visitor(front: Companion, code: int, reason: str) -> None:
    """The application hears why (Autobahn 7)."""
    echo = _Echo()

    async def talk() -> None:
        async with _tunnel(front, application=echo) as visitor:
            await visitor.close(code, reason)
            assert visitor.close_code == code

    asyncio.run(talk())
    assert echo.closed == [(code, reason)]


def test_close_by_the_application(front: Companion) -> None:
    """The visitor hears why, and what was said before."""

    async def leave(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(1013, "try again later")

    async def talk() -> None:
        async with _tunnel(front, application=leave) as visitor:
            assert await visitor.recv() == "last words"
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert (visitor.close_code, visitor.close_reason) == (1013, "try again later")

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (bytes([0xC1, 0x80, 0, 0, 0, 0]), 1002),  # a reserved bit (Autobahn 3)
        (bytes([0x83, 0x80, 0, 0, 0, 0]), 1002),  # an opcode of nobody's (Autobahn 4)
        (bytes([0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28]), 1007),  # no UTF-8 (Autobahn 6)
        (bytes([0x80, 0x80, 0, 0, 0, 0]), 1002),  # a continuation of nothing (Autobahn 5)
        (bytes([0x88, 0x81, 0, 0, 0, 0, 0x03]), 1002),  # half a close code (Autobahn 7)
    ],
    ids=["reserved bit", "opcode", "text", "continuation", "close"],
)
def test_broken_frames(front: Companion, frame: bytes, code: int) -> None:
    """They pass as they are: it is the application that refuses them."""

    async def talk() -> None:
        async with _tunnel(front) as visitor:
            visitor.transport.write(frame)
            with pytest.raises(ConnectionClosed):
                await visitor.recv()
            assert visitor.close_code == code

    asyncio.run(talk())


def test_many_tunnels(front: Companion) -> None:
    """Each visitor hears its own application's words, in order."""

    async def one(number: int) -> None:
        async with connect(f"ws://{LOOPBACK}:{front.port}/", compression=None) as visitor:
            for turn in range(50):
                await visitor.send(f"{number}:{turn}")
            for turn in range(50):
                assert await visitor.recv() == f"{number}:{turn}"

    async def talk() -> None:
        async with serve(_Echo(), LOOPBACK, front.application_port, compression=None):
            await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(talk())


def test_subprotocol_and_quiet(front: Companion) -> None:
    """The handshake's fields pass both ways; a tunnel may be quiet for longer than an idle connection."""
    echo = _Echo()

    async def talk() -> None:
        listening = serve(echo, LOOPBACK, front.application_port, subprotocols=["chat.v2"])  # type: ignore[list-item]
        offered = ["chat.v3", "chat.v2"]
        address = f"ws://{LOOPBACK}:{front.port}/"
        async with listening, connect(address, subprotocols=offered) as visitor:  # type: ignore[arg-type]
            assert visitor.subprotocol == "chat.v2"
            await asyncio.sleep(3.5)
            await visitor.send("still here")
            assert await visitor.recv() == "still here"

    asyncio.run(talk())
    assert echo.subprotocols == ["chat.v2"]


def test_a_visitor_who_vanishes(front: Companion) -> None:
    """The application hears of it."""
    echo = _Echo()

    async def talk() -> None:
        async with _tunnel(front, application=echo) as visitor:
            await visitor.send("hello")
            assert await visitor.recv() == "hello"
            visitor.transport.abort()
            while not echo.closed:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(talk(), 60))
    assert echo.closed == [(1006, "")]


def test_a_visitor_who_does_not_listen(front: Companion) -> None:
    """The application is held up, and nothing is heaped up between."""
    said = 0

    async def talk_on(connection: ServerConnection) -> None:
        nonlocal said
        while said < 200:
            await connection.send(bytes(_MEGABYTE))
            said += 1

    async def talk() -> None:
        before = front.memory_bytes()
        async with _tunnel(front, application=talk_on) as visitor:
            visitor.transport.pause_reading()
            last = -1
            while said != last:
                last = said
                await asyncio.sleep(0.5)
            assert said < 200
            assert front.memory_bytes() - before < 48 * _MEGABYTE
            visitor.transport.abort()

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_refused(front: Companion) -> None:
    """An application that does not want to switch is heard."""

    async def talk() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(refuse, LOOPBACK, front.application_port):
            with pytest.raises(Exception, match="403"):
                await connect(f"ws://{LOOPBACK}:{front.port}/")

    asyncio.run(talk())

"""Connecting plain sockets: within the call on loopback, later where the other side is slow, never falsely."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.node.transports.asyncio_transport import AsyncioDialer
from lbcompanion.node.transports.connecting import Connecting, Target, connect_socket

pytestmark = pytest.mark.network

_WAIT = 60.0


class _Result:
    """The socket or the error of an attempt."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.error: OSError | None = None

    def connected(self, sock: socket.socket) -> None:
        self.socket = sock

    def failed(self, error: OSError) -> None:
        self.error = error

    async def wait(self) -> None:
        async with asyncio.timeout(_WAIT):
            while self.socket is None and self.error is None:
                await asyncio.sleep(0.001)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


class _Upstream:
    """The part of a connection to the application that the dialer uses."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def dial_failed(self, why: str) -> None:
        self.events.append(why)

    def data_received(self, data: bytes) -> None:
        self.events.append(data.decode())

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append("lost")

    async def wait(self, events: int) -> None:
        async with asyncio.timeout(_WAIT):
            while len(self.events) < events:
                await asyncio.sleep(0.001)


@contextmanager
def _listening(address: Any = ("127.0.0.1", 0), backlog: int = 10) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as door:
        door.bind(address)
        door.listen(backlog)
        yield door


@contextmanager
def _full(address: Any = ("127.0.0.1", 0)) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A listener whose queue of connections is full, and the connections in the queue."""
    waiting: list[socket.socket] = []
    with _listening(address, backlog=0) as door:
        try:
            while True:
                one = socket.socket(door.family)
                waiting.append(one)
                one.settimeout(0.05)
                with suppress(BlockingIOError, TimeoutError):
                    one.connect(door.getsockname())
                    continue
                break
            yield door, waiting
        finally:
            for one in waiting:
                one.close()


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_loopback_connects_within_the_call() -> None:
    async def go() -> None:
        with _listening() as door:
            result = _Result()
            addresses = Target(asyncio.get_running_loop(), ("tcp", *door.getsockname())).known()
            Connecting(asyncio.get_running_loop(), addresses, "127.0.0.1", result.connected, result.failed).start()
            assert result.socket is not None
            assert result.socket.getpeername() == door.getsockname()
            result.close()

    _run(go)


def test_next_address_after_a_refusal() -> None:
    async def go() -> None:
        with _listening() as closed:
            refused = closed.getsockname()
        with _listening() as door:
            result = _Result()
            addresses = [(socket.AF_INET, refused), (socket.AF_INET, door.getsockname())]
            loop = asyncio.get_running_loop()
            Connecting(loop, addresses, "", result.connected, result.failed).start()
            await result.wait()
            assert result.socket is not None
            result.close()
        last = _Result()
        Connecting(loop, [(socket.AF_INET, refused)] * 2, "", last.connected, last.failed).start()
        assert last.error is None, "a failure is never reported within the call"
        await last.wait()
        assert isinstance(last.error, ConnectionRefusedError)

    _run(go)


def test_full_queue_of_a_unix_socket_is_no_connection(tmp_path: Path) -> None:
    """The kernel answers EAGAIN until the application accepts; then the connection is made."""

    async def go() -> None:
        path = str(tmp_path / "a.sock")
        with _full(path) as (door, _):
            result = _Result()
            loop = asyncio.get_running_loop()
            Connecting(loop, [(socket.AF_UNIX, path)], "127.0.0.1", result.connected, result.failed).start()
            await asyncio.sleep(0.02)
            assert (result.socket, result.error) == (None, None)
            taken = [door.accept()[0]]
            await result.wait()
            assert result.socket is not None
            assert result.socket.send(b"x") == 1
            result.close()
            for one in taken:
                one.close()

    _run(go)


@pytest.mark.parametrize("unix", [False, True])
def test_dialling_times_out_at_a_full_queue(tmp_path: Path, unix: bool) -> None:
    async def go() -> None:
        path = str(tmp_path / "a.sock")
        with _full(path if unix else ("127.0.0.1", 0)) as (door, _):
            target = ("unix", path) if unix else ("tcp", *door.getsockname())
            dial: Any = AsyncioDialer(loop=asyncio.get_running_loop(), target=target, timeout_seconds=0.05)
            upstream = _Upstream()
            dial(upstream)
            await upstream.wait(1)
            assert upstream.events == ["timeout"]
            await asyncio.sleep(0.02)
            assert upstream.events == ["timeout"]

    _run(go)


def test_dialling() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        with _listening() as door:
            dial: Any = AsyncioDialer(loop=loop, target=("tcp", *door.getsockname()), timeout_seconds=_WAIT)
            upstream = _Upstream()
            dial(upstream)
            assert upstream.events == ["made"], "on loopback the connection is made within the call"
            taken, _ = door.accept()
            taken.sendall(b"data")
            taken.close()
            await upstream.wait(3)
            assert upstream.events == ["made", "data", "lost"]
        refused = _Upstream()
        dial(refused)
        assert refused.events == []
        await refused.wait(1)
        assert refused.events == ["refused"]

    _run(go)


def test_a_name_is_looked_up_at_most_once_a_second() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        with _listening() as door:
            target = Target(loop, ("tcp", "localhost", door.getsockname()[1]))
            assert target.known() == []
            (await connect_socket(loop, target, "127.0.0.1")).close()
            assert (socket.AF_INET, door.getsockname()) in target.known()
        with pytest.raises(OSError, match=r"."):
            await connect_socket(loop, target, "127.0.0.1")
        assert target.known() == [], "after a failure it is looked up again"
        with pytest.raises(OSError, match=r"."):
            await connect_socket(loop, Target(loop, ("tcp", "no.such.name.invalid", 80)))

    _run(go)


def test_a_cancelled_attempt_leaves_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        path = str(tmp_path / "a.sock")
        loop = asyncio.get_running_loop()
        for address in (path, ("127.0.0.1", 0)):
            with _full(address) as (door, _):
                target = ("unix", path) if door.family is socket.AF_UNIX else ("tcp", *door.getsockname())
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await connect_socket(loop, Target(loop, target))

    _run(go)


@pytest.fixture(autouse=True)
def _no_descriptor_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1

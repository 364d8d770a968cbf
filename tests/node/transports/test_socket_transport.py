"""Links of our own on asyncio's loop, over real sockets: what they tell a machine, and what they do as it says."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbcompanion.node.proxy.exchange import Exchange
from lbcompanion.node.proxy.interface import ConnectionHandler, reset
from lbcompanion.node.proxy.internal import InternalExchange
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.proxy.usual_exchange import UsualExchange
from lbcompanion.node.proxy.visitor import VisitorConnection
from lbcompanion.node.transports import selector, socket_transport
from lbcompanion.node.transports.connecting import Target, connect_socket
from lbcompanion.node.transports.selector import new_event_loop
from lbcompanion.node.transports.socket_io import IN_PYTHON, SOCKET_IO
from lbcompanion.node.transports.socket_transport import HIGH_WATER_BYTES, SocketServer, SocketTransport
from tests.support.in_memory_node import InMemoryNode

pytestmark = pytest.mark.network

#: More than any socket takes at once.
MUCH = 8_000_000
WAIT = 60.0


class Noted:
    """A machine that notes what it is told."""

    def __init__(self, keeps: bool = False) -> None:
        self.told: list[Any] = []
        self.received = bytearray()
        self.pieces: list[int] = []
        self.keeps = keeps
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.fails = ""

    def _tell(self, word: Any) -> None:
        self.told.append(word)
        if word == self.fails:
            raise ValueError(word)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._tell("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces.append(len(data))
        self.on_data(data)
        if self.fails == "data":
            raise ValueError("data")

    def eof_received(self) -> bool:
        self._tell("eof")
        return self.keeps

    def connection_lost(self, exc: BaseException | None) -> None:
        self._tell(None if exc is None else type(exc))

    def pause_writing(self) -> None:
        self._tell("pause")

    def resume_writing(self) -> None:
        self._tell("resume")


class Ground:
    """One link, whose other end the test holds, and the loop's complaints."""

    def __init__(self, handler: Noted) -> None:
        self.loop = asyncio.get_running_loop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(context["message"]))
        ours, self.remote = socket.socketpair()
        for one in (ours, self.remote):
            one.setblocking(False)
        self.ours = ours
        self.handler = handler
        self.transport = SocketTransport(self.loop, ours, handler, ("192.0.2.7", 4711))
        self.transport.start()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT):
            while not holds():
                await asyncio.sleep(0.001)

    async def read(self, most: int = 1 << 30) -> bytes:
        """The bytes that the other end gets, up to its end or a number."""
        found = bytearray()
        async with asyncio.timeout(WAIT):
            while len(found) < most and (data := await self.loop.sock_recv(self.remote, 65536)):
                found += data
        return bytes(found)

    @property
    def gone(self) -> bool:
        return self.ours.fileno() < 0


def run(what: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_loops[-1]) as runner:
        runner.run(what)


_loops: list[Callable[[], asyncio.AbstractEventLoop]] = []


@pytest.fixture(autouse=True, params=[asyncio.new_event_loop, new_event_loop], ids=["asyncio", "node"])
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test runs on asyncio's own loop, and on the node's, which calls readers itself."""
    _loops.append(request.param)
    yield
    _loops.pop()


@pytest.fixture(autouse=True, params=[SOCKET_IO, IN_PYTHON], ids=["compiled", "python"])
def _socket_io(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with the compiled calls, if there are any, and with those in Python."""
    monkeypatch.setattr(socket_transport, "_receive", request.param.receive)
    monkeypatch.setattr(socket_transport, "_send", request.param.send)
    monkeypatch.setattr(selector, "SOCKET_IO", request.param)


def test_bytes_come_and_go() -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        handler.on_data = lambda data: handler.transport.write(data[::-1])
        ground.remote.send(b"abc")
        assert await ground.read(3) == b"cba"
        ground.remote.shutdown(socket.SHUT_WR)
        await ground.until(lambda: ground.gone)
        assert handler.told == ["made", "eof", None]
        assert await ground.read() == b""

    run(go())


def test_reads_grow_with_what_comes_and_shrink_again() -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        async with asyncio.timeout(WAIT):
            await ground.loop.sock_sendall(ground.remote, bytes(MUCH))
        await ground.until(lambda: len(handler.received) == MUCH)
        assert handler.pieces[0] == 16384
        largest = max(handler.pieces)
        assert largest > 65536
        for _ in range(6):
            before = len(handler.received)
            ground.remote.send(b"x")
            await ground.until(lambda: len(handler.received) > before)  # noqa: B023
        assert ground.transport._read_bytes == 16384  # what an idle connection holds for its next bytes
        ground.transport.abort()

    run(go())


def test_what_cannot_go_at_once_waits_and_the_machine_hears_of_it() -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        data = os.urandom(MUCH)
        ground.transport.write(data)
        assert handler.told == ["made", "pause"]
        waiting = ground.transport.get_write_buffer_size()
        assert MUCH > waiting > HIGH_WATER_BYTES
        ground.transport.writelines([b"and", memoryview(b" more"), b""])
        assert ground.transport.get_write_buffer_size() == waiting + 8
        ground.transport.close()
        ground.transport.write(b"too late")
        assert await ground.read() == data + b"and more"
        await ground.until(lambda: ground.gone)
        assert handler.told == ["made", "pause", "resume", None]

    run(go())


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from([0, 1, 3, 1000, 70_000, 300_000]), max_size=300), max_size=4))
def test_pieces_arrive_in_their_order(writes: list[list[int]]) -> None:
    async def go() -> None:
        ground = Ground(Noted())
        sent = bytearray()
        for number, sizes in enumerate(writes):
            pieces = [bytes([number + 1, at % 251]) * (size // 2) + b"!" * (size % 2) for at, size in enumerate(sizes)]
            if number % 2:
                ground.transport.write(b"".join(pieces))
            else:
                ground.transport.writelines(pieces)
            sent += b"".join(pieces)
        ground.transport.close()
        assert await ground.read() == bytes(sent)

    run(go())


def test_an_end_in_one_direction() -> None:
    async def go() -> None:
        handler = Noted(keeps=True)
        ground = Ground(handler)
        ground.transport.write(bytes(MUCH))
        ground.transport.write_eof()
        ground.transport.write(b"too late")
        assert len(await ground.read()) == MUCH
        ground.remote.send(b"still heard")
        await ground.until(lambda: handler.received == b"still heard")
        ground.remote.close()
        await ground.until(lambda: "eof" in handler.told)
        assert not ground.gone
        ground.transport.close()
        await ground.until(lambda: ground.gone)
        assert handler.told[-2:] == ["eof", None]

    run(go())


def test_the_peers_end_leaves_our_direction_open() -> None:
    async def go() -> None:
        handler = Noted(keeps=True)
        ground = Ground(handler)
        ground.remote.shutdown(socket.SHUT_WR)
        await ground.until(lambda: "eof" in handler.told)
        ground.transport.pause_reading()
        ground.transport.resume_reading()  # the end is not reported again
        await asyncio.sleep(0.01)
        ground.transport.write(b"answer")
        ground.transport.close()
        assert await ground.read() == b"answer"
        assert handler.told.count("eof") == 1

    run(go())


def test_reading_pauses() -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        ground.transport.pause_reading()
        ground.transport.pause_reading()
        ground.remote.send(b"a")
        await asyncio.sleep(0.02)
        assert not handler.received
        ground.transport.resume_reading()
        ground.transport.resume_reading()
        await ground.until(lambda: handler.received)
        ground.transport.close()
        ground.transport.resume_reading()
        await ground.until(lambda: ground.gone)

    run(go())


def test_abort_drops_the_queue_and_is_reported_later() -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        ground.transport.write(bytes(MUCH))
        ground.transport.close()
        ground.transport.abort()
        ground.transport.abort()
        assert handler.told == ["made", "pause"]
        assert ground.transport.get_write_buffer_size() == 0
        await ground.until(lambda: ground.gone)
        assert handler.told == ["made", "pause", None]
        assert len(await ground.read()) < MUCH
        for word in (
            ground.transport.close,
            ground.transport.abort,
            ground.transport.write_eof,
            ground.transport.pause_reading,
        ):
            word()

    run(go())


@asynccontextmanager
async def served() -> AsyncIterator[tuple[socket.socket, Noted]]:
    """A dialled socket, and the machine of the connection that a server accepted from it."""
    loop = asyncio.get_running_loop()
    machines: list[Noted] = []

    def make() -> Noted:
        machines.append(Noted())
        return machines[-1]

    with listening() as door:
        server = SocketServer(loop, door, make, 10)
        with closing(await connect_socket(loop, Target(loop, ("tcp", "127.0.0.1", door.getsockname()[1])))) as asking:
            async with asyncio.timeout(WAIT):
                while not machines:
                    await asyncio.sleep(0.001)
                yield asking, machines[0]
        async with asyncio.timeout(WAIT):
            while machines[0].told[-1] is not None:
                await asyncio.sleep(0.001)
        server.close()
        server.close()


def test_reset_is_an_error_to_the_peer() -> None:
    async def go() -> None:
        async with served() as (asking, machine):
            reset(machine.transport)
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(asking, 10)
            assert machine.told == ["made", None]

    run(go())


def test_both_ends_send_small_segments_at_once() -> None:
    """The accepted socket inherits it from the listening one, the dialled socket gets it before it connects."""

    async def go() -> None:
        async with served() as (asking, machine):
            for sock in (asking, machine.transport.get_extra_info("socket")):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert machine.told == ["made", "eof", None]

    run(go())


def test_a_peer_that_breaks_off() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        with listening() as door:
            asked = await connect_socket(loop, Target(loop, ("tcp", "localhost", door.getsockname()[1])), "127.0.0.1")
            taken = await loop.sock_accept(door)
            assert taken[1][0] == "127.0.0.1"
            handler = Noted()
            transport = SocketTransport(loop, asked, handler)
            transport.start()
            assert transport.get_extra_info("peername") == door.getsockname()
            assert transport.get_extra_info("socket") is asked
            assert transport.get_extra_info("ssl_object", "none") == "none"
            transport.write(bytes(MUCH))
            taken[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            taken[0].close()
            async with asyncio.timeout(WAIT):
                while handler.told[-1] is not ConnectionResetError:
                    await asyncio.sleep(0.001)
            assert asked.fileno() < 0
            assert handler.told == ["made", "pause", ConnectionResetError]

    run(go())


@pytest.mark.parametrize("writes", ["write", "writelines"])
def test_writing_to_who_has_left(writes: str) -> None:
    async def go() -> None:
        handler = Noted()
        ground = Ground(handler)
        ground.transport.pause_reading()
        ground.remote.close()
        ground.transport.write(b"a") if writes == "write" else ground.transport.writelines([b"a", b"b"])
        ground.transport.write(b"again")
        assert handler.told == ["made"]
        await ground.until(lambda: ground.gone)
        assert handler.told == ["made", BrokenPipeError]
        assert not ground.complaints

    run(go())


@pytest.mark.parametrize("reads_rest", [True, False])
@pytest.mark.parametrize("writes", ["write", "writelines", "queue"])
@pytest.mark.parametrize("how", ["reset", "end"])
def test_what_came_before_a_failed_write_is_read(reads_rest: bool, writes: str, how: str) -> None:
    async def go() -> None:
        handler = Noted()
        loop = asyncio.get_running_loop()
        with listening() as door:
            asked = socket.create_connection(door.getsockname())
            asked.setblocking(False)
            taken = door.accept()[0]
            transport = SocketTransport(loop, asked, handler, reads_rest=reads_rest)
            if writes == "queue":
                transport.start()
                transport.pause_reading()
                transport.write(bytes(MUCH))
                assert transport.get_write_buffer_size()
            else:
                asked.send(b"unread")
            if how == "end":
                taken.settimeout(WAIT)
                taken.recv(6)
            taken.sendall(b"an early answer")
            if how == "end" and writes == "queue":
                taken.shutdown(socket.SHUT_WR)
            taken.close()  # with unread bytes: a reset
            if writes != "queue":
                transport.start()
                if how == "end":
                    asked.send(b"answered by a reset")
                    await asyncio.to_thread(time.sleep, 0.05)
                transport.write(b"more") if writes == "write" else transport.writelines([b"m", b"ore"])
            else:
                await asyncio.sleep(0.05)
                transport.resume_reading()
            async with asyncio.timeout(WAIT):
                while asked.fileno() >= 0:
                    await asyncio.sleep(0.001)
            if reads_rest:
                assert handler.received == b"an early answer"
            assert handler.told[-1] in {None, ConnectionResetError, BrokenPipeError}
            if how == "reset":
                assert handler.told[-1] is ConnectionResetError
                assert "eof" not in handler.told

    run(go())


@pytest.mark.parametrize("fails", ["made", "data", "eof", "pause", "resume"])
def test_a_fault_in_a_machine_ends_its_connection_only(fails: str) -> None:
    async def go() -> None:
        handler = Noted()
        handler.fails = fails
        ground = Ground(handler)
        if fails == "data":
            ground.remote.send(b"x")
        if fails in {"pause", "resume"}:
            ground.transport.write(bytes(MUCH))
            await ground.read()
        if fails == "eof":
            ground.remote.shutdown(socket.SHUT_WR)
        await ground.until(lambda: ground.gone)
        assert handler.told[-1] is ValueError
        assert len(ground.complaints) == 1

    run(go())


@pytest.mark.parametrize("fails", ["pause", "resume"])
def test_a_fault_at_a_full_or_an_empty_queue_leaves_no_descriptor_registered(fails: str) -> None:
    """The next connection with that number could not be registered."""

    async def go() -> None:
        handler = Noted()
        handler.fails = fails
        ground = Ground(handler)
        number = ground.ours.fileno()
        ground.transport.writelines([bytes(MUCH), b"a", b"b"])
        if fails == "resume":
            await ground.read(MUCH)
        await ground.until(lambda: ground.gone)
        await asyncio.sleep(0.01)
        assert handler.told == ["made", "pause", *(["resume"] if fails == "resume" else []), ValueError]
        assert ground.complaints == [f"a connection's handler failed in {fails}_writing"]
        registered: Any = ground.loop
        assert number not in registered._selector.get_map()
        assert ground.transport.get_write_buffer_size() == 0
        ground.remote.close()

    run(go())


def listening() -> closing[socket.socket]:
    door = socket.create_server(("127.0.0.1", 0))
    door.setblocking(False)
    return closing(door)


class _Exhausted:
    """A listening socket that fails a number of times, as in a process without free descriptors."""

    def __init__(self, door: socket.socket, number: int, times: int) -> None:
        self._door = door
        self._number = number
        self.times = times

    def accept(self) -> Any:
        if self.times:
            self.times -= 1
            raise OSError(self._number, "no more")
        return self._door.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_left(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbcompanion.node.transports.socket_transport._RETRY_SECONDS", 0.05)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[str] = []
        loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        made: list[ConnectionHandler] = []

        def make() -> Noted:
            made.append(Noted())
            return made[-1]  # type: ignore[return-value]

        with listening() as door:
            exhausted: Any = _Exhausted(door, number, 2)
            server = SocketServer(loop, exhausted, make, 10)
            with closing(await connect_socket(loop, Target(loop, ("tcp", "127.0.0.1", door.getsockname()[1])))):
                async with asyncio.timeout(WAIT):
                    while not made:
                        await asyncio.sleep(0.005)
            assert len(complaints) == 2
            assert exhausted.times == 0
            exhausted.times = 1
            with closing(await connect_socket(loop, Target(loop, ("tcp", "127.0.0.1", door.getsockname()[1])))):
                async with asyncio.timeout(WAIT):
                    while exhausted.times:
                        await asyncio.sleep(0.005)
            server.close()  # while it waits

    run(go())


def test_connecting_where_nothing_listens(tmp_path: Any) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        with listening() as door:
            port = door.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await connect_socket(loop, Target(loop, ("tcp", "127.0.0.1", port)))
        with pytest.raises(FileNotFoundError):
            await connect_socket(loop, Target(loop, ("unix", str(tmp_path / "none.sock"))))
        with pytest.raises(OSError, match=r"."):
            await connect_socket(loop, Target(loop, ("tcp", "no.such.name.invalid", port)))

    run(go())


@pytest.fixture(autouse=True)
def _no_descriptor_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


_PARTS = (SocketTransport, VisitorConnection, UpstreamConnection, UsualExchange, Exchange, InternalExchange)
_BODY = b"Host: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 50000
_SENT = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nX: " + b"x" * 60000,
    "half a body": b"POST /a HTTP/1.1\r\n" + _BODY,
    "half a notice": b"POST /_lbc/notice HTTP/1.1\r\n" + _BODY,
    "a request": b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    "no request": b"GET\r\n\r\n",
}


class _AnsweredUpstream:
    """Dials connections that are socket pairs, and answers each request that has no body, twice; the third waits."""

    def __init__(self) -> None:
        self._answered = 0
        self._far_ends: list[socket.socket] = []

    def __call__(self, upstream: UpstreamConnection) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        self._far_ends.append(theirs)
        loop.add_reader(theirs.fileno(), self._answer, theirs)
        SocketTransport(loop, ours, upstream).start()

    def _answer(self, theirs: socket.socket) -> None:
        asked = theirs.recv(65536)
        if not asked:
            asyncio.get_running_loop().remove_reader(theirs.fileno())
            theirs.close()
            return
        if asked.startswith(b"GET") and self._answered < 2:
            self._answered += 1
            theirs.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")

    def close(self) -> None:
        for one in self._far_ends:
            if one.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(one.fileno())
                one.close()


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("sent", _SENT.values(), ids=_SENT)
def test_a_closed_connection_is_freed_without_the_garbage_collector(sent: bytes, reset: bool) -> None:
    """Else the requests of many closed connections stay in memory while the node has nothing to do."""

    def parts() -> int:
        return sum(isinstance(one, _PARTS) for one in gc.get_objects())

    async def go() -> None:
        node = InMemoryNode()
        upstream = _AnsweredUpstream()
        node.upstream_pool._dial = upstream
        before = parts()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            for one in (ours, theirs):
                one.setblocking(False)
            SocketTransport(asyncio.get_running_loop(), ours, VisitorConnection(node.context)).start()
            theirs.send(sent)
            for _ in range(20):
                await asyncio.sleep(0)
            if reset:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            del ours
            async with asyncio.timeout(WAIT):
                while node.counters.connections_open or node.context.rejected:
                    node.clock.advance(3)
                    node.tick()
                    await asyncio.sleep(0.001)
        node.upstream_pool.close()
        async with asyncio.timeout(WAIT):
            while parts() > before:
                await asyncio.sleep(0.01)
        upstream.close()

    gc.collect()
    gc.disable()
    try:
        run(go())
    finally:
        gc.enable()

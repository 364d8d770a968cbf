"""The two forms of the calls: compiled, and in Python."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from lbcompanion.node.transports.socket_io import IN_PYTHON, SOCKET_IO, SocketIo, milliseconds_of
from tests.support.programs import leave_out

pytestmark = pytest.mark.network


@pytest.fixture(params=["compiled", "python"], name="calls")
def _calls(request: pytest.FixtureRequest) -> SocketIo:
    if request.param == "python":
        return IN_PYTHON
    if SOCKET_IO is IN_PYTHON:
        leave_out("a C compiler, when this was installed")
    return SOCKET_IO


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


@pytest.fixture(name="epoll")
def _epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


def _send_for_ever(calls: SocketIo, ours: socket.socket, data: bytes) -> None:
    while True:
        calls.send(ours.fileno(), data)


def _no_error(error: BaseException) -> None:
    raise AssertionError(error)


@pytest.mark.parametrize("size", [1, 16384, 65536, 65537, 524288])
def test_what_arrived_is_received(calls: SocketIo, pair: tuple[socket.socket, socket.socket], size: int) -> None:
    ours, theirs = pair
    theirs.send(b"abcdef")
    assert calls.receive(ours.fileno(), size) == b"abcdef"[:size]
    while size < 6 and ours.recv(10):
        size = 6
    with pytest.raises(BlockingIOError):
        calls.receive(ours.fileno(), size)
    theirs.close()
    assert calls.receive(ours.fileno(), size) == b""


def test_a_large_read_gets_as_much_as_fits(calls: SocketIo, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.setblocking(False)
    sent = theirs.send(b"x" * 500_000)
    found = calls.receive(ours.fileno(), 100_000)
    assert found == b"x" * len(found)
    assert 65536 <= len(found) <= min(sent, 100_000)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_data_is_sent_as_far_as_it_fits(
    calls: SocketIo, pair: tuple[socket.socket, socket.socket], kind: Callable[[bytes], bytes]
) -> None:
    ours, theirs = pair
    assert calls.send(ours.fileno(), kind(b"abc")) == 3
    assert theirs.recv(10) == b"abc"
    data = b"y" * 10_000_000
    taken = calls.send(ours.fileno(), kind(data))
    assert 0 < taken < len(data)
    with pytest.raises(BlockingIOError):
        _send_for_ever(calls, ours, kind(data))


def test_errors_have_their_own_classes(calls: SocketIo, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        calls.send(ours.fileno(), b"abc")
    number = ours.fileno()
    ours.close()
    for call in (lambda: calls.send(number, b"abc"), lambda: calls.receive(number, 10)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


@pytest.mark.parametrize("number", [-1, 2**40])
def test_what_is_no_descriptor_is_refused(calls: SocketIo, number: int) -> None:
    for call in (lambda: calls.send(number, b"abc"), lambda: calls.receive(number, 10)):
        with pytest.raises((OSError, ValueError, OverflowError)):
            call()


def test_readers_are_called_and_the_others_returned(calls: SocketIo, epoll: select.epoll) -> None:
    wait = calls.waiter(epoll)
    pairs = [socket.socketpair() for _ in range(4)]
    called: list[int] = []
    for ours, theirs in pairs:
        epoll.register(ours.fileno(), select.EPOLLIN | select.EPOLLOUT if ours is pairs[2][0] else select.EPOLLIN)
        theirs.send(b"x")
    pairs[3][1].close()
    numbers = [ours.fileno() for ours, _ in pairs]
    readers: dict[int, Callable[[], None]] = {
        number: partial(called.append, number) for number in (numbers[0], numbers[2], numbers[3])
    }
    others = dict(wait(0, readers, _no_error))
    assert called == [numbers[0]]
    assert others.pop(numbers[3]) & select.EPOLLHUP
    assert others == {numbers[1]: select.EPOLLIN, numbers[2]: select.EPOLLIN | select.EPOLLOUT}
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_reader_that_another_one_removed_is_not_called(calls: SocketIo, epoll: select.epoll) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []
    readers: dict[int, Callable[[], None]] = {}

    def called_first(number: int) -> None:
        called.append(number)
        readers.clear()

    for ours, theirs in pairs:
        epoll.register(ours.fileno(), select.EPOLLIN)
        readers[ours.fileno()] = partial(called_first, ours.fileno())
        theirs.send(b"x")
    others = calls.waiter(epoll)(-1, readers, _no_error)
    assert len(called) == 1
    assert [number for number, _ in others] == [ours.fileno() for ours, _ in pairs if ours.fileno() not in called]
    for pair in pairs:
        for end in pair:
            end.close()


def test_an_error_of_a_reader_is_handed_on(
    calls: SocketIo, epoll: select.epoll, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    epoll.register(ours.fileno(), select.EPOLLIN)
    theirs.send(b"x")
    wait = calls.waiter(epoll)
    errors: list[BaseException] = []

    def fails_with(error: BaseException) -> dict[int, Callable[[], None]]:
        def reader() -> None:
            raise error

        return {ours.fileno(): reader}

    error = ValueError("no")
    assert wait(0, fails_with(error), errors.append) == []
    assert errors == [error]
    assert error.__traceback__ is not None
    for ending in (KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(ending)):
            wait(0, fails_with(ending), errors.append)
    with pytest.raises(AssertionError):
        wait(0, fails_with(error), _no_error)


def test_a_wait_ends_in_time_and_lets_other_threads_run(calls: SocketIo, epoll: select.epoll) -> None:
    ran = threading.Event()
    thread = threading.Timer(0.02, ran.set)
    thread.start()
    began = time.monotonic()
    assert calls.waiter(epoll)(milliseconds_of(0.1), {}, _no_error) == []
    assert time.monotonic() - began >= 0.09
    assert ran.is_set()
    thread.join()


def test_a_signal_ends_a_wait(calls: SocketIo, epoll: select.epoll) -> None:
    """Its handler runs, and may end the wait by an exception."""

    class _Signalled(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise _Signalled

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(_Signalled):
            calls.waiter(epoll)(60_000, {}, _no_error)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(None, -1), (0, 0), (-1, 0), (0.0001, 1), (0.001, 1), (1.0001, 1001), (5, 5000)]
)
def test_timeouts_are_rounded_up(seconds: float | None, milliseconds: int) -> None:
    assert milliseconds_of(seconds) == milliseconds

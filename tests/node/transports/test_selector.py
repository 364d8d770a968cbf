"""The selector of the node's loop does what Python's own does, in all that asyncio asks of it."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.transports import selector
from lbcompanion.node.transports.selector import DescriptorSelector, new_event_loop
from lbcompanion.node.transports.socket_io import IN_PYTHON, SOCKET_IO
from lbcompanion.node.transports.socket_transport import SocketTransport
from tests.support.programs import leave_out


@pytest.fixture(scope="module", autouse=True)
def _epoll() -> None:
    if not hasattr(select, "epoll"):
        leave_out("epoll(7)")


_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_SOCKETS = 3
_ACTIONS = ("register", "modify", "unregister", "get_key", "look up", "send", "hang up", "close")
#: An action, the number of a socket, events, and whether the socket is given instead of its descriptor.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(_ACTIONS),
        st.integers(0, _SOCKETS - 1),
        st.sampled_from((_READ, _WRITE, _READ | _WRITE)),
        st.booleans(),
    )
)


@pytest.fixture(scope="module", autouse=True, params=[SOCKET_IO, IN_PYTHON], ids=["compiled", "python"])
def _socket_io(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test runs with the compiled wait, if there is one, and with the one in Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selector, "SOCKET_IO", request.param)
        yield


class _Pairs:
    """Connected sockets; the other ends send and hang up."""

    def __init__(self) -> None:
        self.pairs = [socket.socketpair() for _ in range(_SOCKETS)]
        self.descriptors = [ours.fileno() for ours, _ in self.pairs]
        self.numbers = {ours.fileno(): number for number, (ours, _) in enumerate(self.pairs)}

    def close(self) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()


def _outcome(call: Callable[[], Any], numbers: dict[int, int]) -> object:
    try:
        key = call()
    except (KeyError, ValueError, OSError) as error:
        return type(error)
    return numbers[key.fd], key.events, key.data, type(key.fileobj)


def _trace(tried: selectors.BaseSelector, steps: list[tuple[str, int, int, bool]]) -> list[object]:
    """The results of the steps, and what is ready after each."""
    seen: list[object] = []
    with closing(tried), closing(_Pairs()) as sockets:
        numbers = sockets.numbers
        for at, (action, number, events, by_socket) in enumerate(steps):
            ours, others = sockets.pairs[number]
            if action == "send":
                if others.fileno() >= 0:
                    with suppress(OSError):
                        others.send(b"x")
            elif action == "hang up":
                others.close()
            elif action == "close":
                ours.close()
            elif action == "look up":
                fileobj = ours if by_socket else sockets.descriptors[number]
                seen.append(_outcome(lambda: tried.get_map().get(fileobj) or tried.get_key(1_000_000), numbers))  # noqa: B023
            else:
                more = (events, at) if action in {"register", "modify"} else ()
                call = getattr(tried, action)
                fileobj = ours if by_socket else sockets.descriptors[number]
                seen.append(_outcome(lambda: call(fileobj, *more), numbers))  # noqa: B023
            ready = [(numbers[key.fd], key.data, mask) for key, mask in tried.select(0)]
            seen.append(sorted(ready))
            seen.append(sorted(numbers[key.fd] for key in tried.get_map().values()))
    return seen


@given(steps=_STEPS)
def test_it_reports_what_the_selector_of_python_reports(steps: list[tuple[str, int, int, bool]]) -> None:
    assert _trace(DescriptorSelector(), steps) == _trace(selectors.EpollSelector(), steps)


def test_a_socket_is_registered_by_its_descriptor() -> None:
    with closing(DescriptorSelector()) as tried, closing(_Pairs()) as sockets:
        ours = sockets.pairs[0][0]
        tried.register(ours, _WRITE, "first")
        assert [(key.data, mask) for key, mask in tried.select(0)] == [("first", _WRITE)]
        assert tried.modify(ours, _READ, "second").events == _READ
        assert tried.get_key(ours.fileno()).data == "second"
        tried.unregister(ours)
        assert not tried.get_map()


def test_a_descriptor_that_is_closed_already_can_be_unregistered_and_used_again() -> None:
    with closing(DescriptorSelector()) as tried, closing(_Pairs()) as sockets:
        ours = sockets.pairs[0][0]
        descriptor = ours.fileno()
        tried.register(descriptor, _READ)
        ours.close()
        tried.unregister(descriptor)
        with ExitStack() as stack:
            reused = [stack.enter_context(socket.socket()) for _ in range(2)]
            for sock in reused:
                tried.register(sock.fileno(), _READ)
            assert len(tried.get_map()) == 2


def test_a_descriptor_that_cannot_be_modified_is_unregistered() -> None:
    with closing(DescriptorSelector()) as tried, closing(_Pairs()) as sockets:
        ours = sockets.pairs[0][0]
        descriptor = ours.fileno()
        tried.register(descriptor, _READ)
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            tried.modify(descriptor, _READ | _WRITE)
        assert not tried.get_map()


def test_a_descriptor_that_cannot_be_registered_leaves_no_key() -> None:
    with closing(DescriptorSelector()) as tried:
        with pytest.raises(OSError, match="Bad file descriptor"):
            tried.register(10**6, _READ)
        assert not tried.get_map()


def test_the_loop_of_the_node_uses_it_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[DescriptorSelector] = []
    monkeypatch.setattr(selector, "DescriptorSelector", lambda: made.append(DescriptorSelector()) or made[0])
    sent = b"x" * 4_000_000

    async def pass_on() -> bytes:
        ours, others = socket.socketpair()
        # A stream closes its connection when its reader is collected.
        reader, _writer = await asyncio.open_connection(sock=ours)
        _reader, writer = await asyncio.open_connection(sock=others)
        writer.write(sent)
        received = await reader.readexactly(len(sent))
        writer.close()
        assert await reader.read() == b""
        assert len(made[0].get_map()) >= 1
        return received

    with closing(new_event_loop()) as loop:
        assert loop.run_until_complete(pass_on()) == sent


def test_a_reader_is_added_replaced_and_removed_by_its_socket() -> None:
    """asyncio takes a file object in place of a descriptor, and hands it to the selector as it is."""
    heard: list[str] = []

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        with closing(_Pairs()) as sockets:
            ours, others = sockets.pairs[0]
            loop.add_reader(ours, heard.append, "first")
            loop.add_reader(ours, heard.append, "second")
            others.send(b"x")
            async with asyncio.timeout(10):
                while not heard:
                    await asyncio.sleep(0)
            assert loop.remove_reader(ours)
            assert not loop.remove_reader(ours)

    with closing(new_event_loop()) as loop:
        loop.run_until_complete(listen())
    assert set(heard) == {"second"}


def test_without_epoll_the_loop_is_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    default = object()
    monkeypatch.delattr(select, "epoll")
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: default)
    assert new_event_loop() is default


def test_readers_are_called_at_once_and_their_errors_are_reported() -> None:
    with ExitStack() as stack:
        chosen = stack.enter_context(closing(DescriptorSelector()))
        pairs = [socket.socketpair() for _ in range(3)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            chosen.register(ours.fileno(), _READ, None)
            theirs.send(b"x")
        first, second, third = (ours.fileno() for ours, _ in pairs)
        called: list[int] = []
        errors: list[BaseException] = []
        chosen.on_error = errors.append

        def fail() -> None:
            raise RuntimeError

        chosen.readers = {first: lambda: called.append(first), second: fail}
        assert [key.fd for key, _ in chosen.select(1)] == [third]
        assert called == [first]
        assert [type(error) for error in errors] == [RuntimeError]


def test_a_reader_that_was_removed_meanwhile_is_not_called() -> None:
    """It paused or closed by what another reader did. Its event comes again, if it reads again."""
    with ExitStack() as stack:
        chosen = stack.enter_context(closing(DescriptorSelector()))
        called: list[int] = []
        for _ in range(2):
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            descriptor = ours.fileno()
            chosen.register(descriptor, _READ, None)
            theirs.send(b"x")

            def read(descriptor: int = descriptor) -> None:
                called.append(descriptor)
                for other in [one for one in chosen.readers if one != descriptor]:
                    del chosen.readers[other]
                    chosen.unregister(other)

            chosen.readers[descriptor] = read
        assert chosen.select(1) == []
        assert len(called) == 1


def test_an_event_with_more_than_bytes_to_read_goes_the_usual_way() -> None:
    """A hang-up is reported to the loop, which calls reader and writer."""
    with ExitStack() as stack:
        chosen = stack.enter_context(closing(DescriptorSelector()))
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        chosen.register(ours.fileno(), _READ | _WRITE, None)
        called: list[int] = []
        chosen.readers[ours.fileno()] = lambda: called.append(1)
        theirs.send(b"x")
        theirs.close()
        assert [(key.fd, events) for key, events in chosen.select(1)] == [(ours.fileno(), _READ | _WRITE)]
        assert not called


def test_the_loop_calls_readers_and_reports_what_fails() -> None:
    with closing(new_event_loop()) as loop:
        ours, theirs = socket.socketpair()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, report: reported.append(report))

        def fail() -> None:
            loop.remove_reader(ours.fileno())
            loop.stop()
            raise RuntimeError

        loop.add_reader(ours.fileno(), lambda: None)
        loop.direct_readers[ours.fileno()] = fail  # type: ignore[attr-defined]
        theirs.send(b"x")
        loop.run_forever()
        assert [type(report["exception"]) for report in reported] == [RuntimeError]
        ours.close()
        theirs.close()


def test_a_reader_may_pause_and_resume_another_transport_whose_event_is_in_the_same_batch() -> None:
    """Its key is replaced within the batch. asyncio would unregister the new one for the old one's handle."""
    with closing(new_event_loop()) as loop:
        received: dict[str, bytes] = {}
        transports: dict[str, SocketTransport] = {}
        far_ends: dict[str, socket.socket] = {}

        class Handler:
            def __init__(self, name: str) -> None:
                self.name = name

            def data_received(self, data: bytes) -> None:
                received[self.name] = received.get(self.name, b"") + data
                if self.name == "toggles":
                    transports["writes"].pause_reading()
                    transports["writes"].resume_reading()

            def __getattr__(self, name: str) -> Any:
                return lambda *_: False

        for name in ("writes", "toggles"):
            ours, far_ends[name] = socket.socketpair()
            ours.setblocking(False)
            far_ends[name].setblocking(False)
            transports[name] = SocketTransport(loop, ours, Handler(name))
            transports[name].start()
        while not transports["writes"].get_write_buffer_size():
            transports["writes"].write(b"z" * 4096)
        with suppress(BlockingIOError):
            while far_ends["writes"].recv(1 << 20):
                pass
        # Now the first is both writable and readable, the second readable.
        far_ends["writes"].send(b"first")
        far_ends["toggles"].send(b"x")
        for sent in (b"", b"second"):
            far_ends["writes"].send(sent)
            loop.call_later(0.1, loop.stop)
            loop.run_forever()
        assert received == {"writes": b"firstsecond", "toggles": b"x"}
        for transport in transports.values():
            transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        for far_end in far_ends.values():
            far_end.close()


def test_a_reader_that_is_cancelled_does_not_end_the_loop() -> None:
    with ExitStack() as stack:
        chosen = stack.enter_context(closing(DescriptorSelector()))
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        chosen.register(ours.fileno(), _READ, None)
        theirs.send(b"x")
        errors: list[BaseException] = []
        chosen.on_error = errors.append
        for error, reported in ((asyncio.CancelledError(), 1), (KeyboardInterrupt(), 1)):

            def fail(error: BaseException = error) -> None:
                raise error

            chosen.readers[ours.fileno()] = fail
            with suppress(KeyboardInterrupt):
                chosen.select(1)
            assert len(errors) == reported

"""Connections in memory for the machines of :mod:`lbcompanion.node`: they behave as asyncio's transports do, with
nothing left to chance. Nothing is called back from within a call, but for ``pause_writing``, which asyncio calls from
within ``write`` as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lbcompanion.node.proxy.interface import ConnectionHandler, Transport

#: What a link queues before its machine is told to pause, and how low the queue has to be to go on: asyncio's marks.
HIGH_WATER = 65536
LOW_WATER = HIGH_WATER // 4
#: More steps than this without rest are a loop, not work.
_MAX_STEPS = 1_000_000


class MemoryLoop:
    """What is to happen next, in order."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Let something happen in its turn."""
        self._queue.append(call)

    def run(self) -> None:
        """Let everything happen.

        :raises AssertionError: where that does not end.
        """
        for _ in range(_MAX_STEPS):
            if not self._queue:
                return
            self._queue.popleft()()
        raise AssertionError("this does not come to rest")


class MemoryTransport:
    """A :class:`~lbcompanion.node.proxy.interface.Transport`, whose other end is :attr:`remote`.

    :param peername: what ``get_extra_info`` tells.
    """

    def __init__(self, loop: MemoryLoop, handler: ConnectionHandler, peername: object = ("192.0.2.7", 4711)) -> None:
        self._loop = loop
        self._handler = handler
        self._extra = {"peername": peername}
        self._out: deque[bytes] = deque()
        self._queued = 0
        self._full = False
        self._wrote_eof = False
        self._closing = False
        self._lost = False
        self._reading = True
        self._in: deque[bytes | None] = deque()
        self.remote = RemoteEnd(self)

    def connect(self) -> RemoteEnd:
        """Tell the machine of its connection."""
        self._handler.connection_made(self)
        return self.remote

    # What the machine asks for.

    def write(self, data: bytes) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        assert not self._wrote_eof, "written behind the end"
        if self._closing or self._lost or not data:
            return
        self._out.append(bytes(data))
        self._queued += len(data)
        self._flush()
        if self._queued > HIGH_WATER and not self._full:
            self._full = True
            self._handler.pause_writing()

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        if not self._closing:
            self._closing = True
            self._flush()

    def write_eof(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        self._wrote_eof = True
        self._flush()

    def abort(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        if not self._lost:
            self._closing = True
            self._out.clear()
            self.remote.aborted = True
            self._loop.call_soon(lambda: self.lose(None))

    def pause_reading(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        self._reading = False

    def resume_reading(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        if not self._closing and not self._reading:
            self._reading = True
            self._loop.call_soon(self.deliver)

    def get_write_buffer_size(self) -> int:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        return self._queued

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        return self._extra.get(name, default)

    # What the other end does.

    @property
    def reads(self) -> bool:
        """Whether the machine takes what comes."""
        return self._reading and not self._closing and not self._lost

    def feed(self, data: bytes | None) -> None:
        """Put bytes, or the end (None), on their way to the machine."""
        self._in.append(data)
        self._loop.call_soon(self.deliver)

    def deliver(self) -> None:
        """Give the machine what has come, one piece at a time."""
        if not self._in or not self.reads:
            return
        data = self._in.popleft()
        if data is None:
            if not self._handler.eof_received():
                self.close()
            return
        self._handler.data_received(data)
        if self._in:
            self._loop.call_soon(self.deliver)

    def on_drained(self) -> None:
        """The other end reads again."""
        self._flush()
        if self._full and self._queued <= LOW_WATER and not self._lost:
            self._full = False
            self._handler.resume_writing()

    def lose(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        if not self._lost:
            self._lost = self._closing = self.remote.closed = True
            self._handler.connection_lost(exc)

    def _flush(self) -> None:
        while self._out and self.remote.reads:
            data = self._out.popleft()
            self._queued -= len(data)
            self.remote.data_received(data)
        if not self._out:
            self.remote.eof = self.remote.eof or self._wrote_eof or self._closing
            if self._closing:
                self._loop.call_soon(lambda: self.lose(None))


class RemoteEnd:
    """The other end of a :class:`MemoryTransport`, in the hands of a test.

    :ivar received: all bytes that came so far.
    :ivar pieces: how many writes they came in.
    :ivar eof: nothing more will come, by the machine's own wish.
    :ivar closed: the connection is gone.
    :ivar aborted: the machine threw it away.
    :ivar on_data: called after each arrival.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self.received = b""
        self.pieces = 0
        self.reads = True
        self.eof = False
        self.closed = False
        self.aborted = False
        self.on_data: Callable[[bytes], None] = lambda data: None

    def data_received(self, data: bytes) -> None:
        """Bytes come."""
        self.received += data
        self.pieces += 1
        self.on_data(data)

    def send(self, *pieces: bytes) -> None:
        """Send, in these pieces."""
        for piece in pieces:
            self._transport.feed(piece)

    def send_eof(self) -> None:
        """Send nothing more."""
        self._transport.feed(None)

    def reset(self) -> None:
        """Break the connection."""
        self._transport.lose(ConnectionResetError())

    def stop_reading(self) -> None:
        """Take nothing for now."""
        self.reads = False

    def resume_reading(self) -> None:
        """Take what waits."""
        self.reads = True
        self._transport.on_drained()

    @property
    def is_read(self) -> bool:
        """Whether the machine takes what this end sends."""
        return self._transport.reads


if TYPE_CHECKING:
    _: type[Transport] = MemoryTransport

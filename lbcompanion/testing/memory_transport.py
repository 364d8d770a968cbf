"""In-memory connections for the protocols of :mod:`lbcompanion.node`. They behave like asyncio's transports, but
deterministically. As in asyncio, no callback runs within a call, except ``pause_writing`` within ``write``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lbcompanion.node.proxy.interface import ConnectionHandler, Transport

#: Bytes queued before the protocol must pause writing, and before it may resume: asyncio's defaults.
HIGH_WATER = 65536
LOW_WATER = HIGH_WATER // 4
#: More steps than this count as an endless loop.
_MAX_STEPS = 1_000_000


class MemoryLoop:
    """A queue of calls, run in order."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Append a call to the queue."""
        self._queue.append(call)

    def run(self) -> None:
        """Run all queued calls.

        :raises AssertionError: if that does not end.
        """
        for _ in range(_MAX_STEPS):
            if not self._queue:
                return
            self._queue.popleft()()
        raise AssertionError("this does not come to rest")


class MemoryTransport:
    """A :class:`~lbcompanion.node.proxy.interface.Transport`, whose other end is :attr:`remote`.

    :param peername: the value of ``get_extra_info("peername")``.
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
        """Call ``connection_made``; return the other end."""
        self._handler.connection_made(self)
        return self.remote

    # Called by the protocol.

    def write(self, data: bytes) -> None:
        """Write data, in order."""
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
        """Write several pieces as one."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Close after all queued output is written."""
        if not self._closing:
            self._closing = True
            self._flush()

    def write_eof(self) -> None:
        """Half-close after all queued output is written."""
        self._wrote_eof = True
        self._flush()

    def abort(self) -> None:
        """Close at once and drop queued output."""
        if not self._lost:
            self._closing = True
            self._out.clear()
            self.remote.aborted = True
            self._loop.call_soon(lambda: self.lose(None))

    def pause_reading(self) -> None:
        """Stop reading."""
        self._reading = False

    def resume_reading(self) -> None:
        """Continue reading."""
        if not self._closing and not self._reading:
            self._reading = True
            self._loop.call_soon(self.deliver)

    def get_write_buffer_size(self) -> int:
        """Return the number of queued output bytes."""
        return self._queued

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return transport information, as asyncio does."""
        return self._extra.get(name, default)

    # Called by the other end.

    @property
    def reads(self) -> bool:
        """Whether the protocol accepts data."""
        return self._reading and not self._closing and not self._lost

    def feed(self, data: bytes | None) -> None:
        """Queue bytes, or the end of input (None), for the protocol."""
        self._in.append(data)
        self._loop.call_soon(self.deliver)

    def deliver(self) -> None:
        """Pass queued input to the protocol, one piece at a time."""
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
        """Continue writing when the other end reads again."""
        self._flush()
        if self._full and self._queued <= LOW_WATER and not self._lost:
            self._full = False
            self._handler.resume_writing()

    def lose(self, exc: BaseException | None) -> None:
        """Call ``connection_lost``, once."""
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
    """The other end of a :class:`MemoryTransport`, controlled by a test.

    :ivar received: all bytes received so far.
    :ivar pieces: the number of writes they came in.
    :ivar eof: the protocol has ended its output.
    :ivar closed: the connection is closed.
    :ivar aborted: the protocol aborted it.
    :ivar on_data: called with each piece received.
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
        """Receive bytes."""
        self.received += data
        self.pieces += 1
        self.on_data(data)

    def send(self, *pieces: bytes) -> None:
        """Send these pieces."""
        for piece in pieces:
            self._transport.feed(piece)

    def send_eof(self) -> None:
        """Half-close: send the end of input."""
        self._transport.feed(None)

    def reset(self) -> None:
        """Reset the connection."""
        self._transport.lose(ConnectionResetError())

    def stop_reading(self) -> None:
        """Stop reading."""
        self.reads = False

    def resume_reading(self) -> None:
        """Read again, first what was queued."""
        self.reads = True
        self._transport.on_drained()

    @property
    def is_read(self) -> bool:
        """Whether the protocol accepts what this end sends."""
        return self._transport.reads


if TYPE_CHECKING:
    _: type[Transport] = MemoryTransport

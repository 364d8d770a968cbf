"""A transport over a plain socket on asyncio's loop, with fewer calls and copies than asyncio's own.

asyncio allocates 256 KiB for each read, copies unsent data into a buffer, and joins pieces before sending them. This
transport adapts the read size to the previous reads, queues unsent pieces without copying them, and sends several
pieces at once (sendmsg(2)). It implements :class:`~lbcompanion.node.proxy.interface.Transport`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from lbcompanion.node.proxy.interface import ConnectionHandler
from lbcompanion.node.transports.socket_io import SOCKET_IO

_receive, _send = SOCKET_IO.receive, SOCKET_IO.send

#: Queue sizes in bytes at which ``pause_writing`` and ``resume_writing`` are called (asyncio's defaults).
HIGH_WATER_BYTES = 65536
LOW_WATER_BYTES = 16384

_MIN_READ_BYTES = 16384
_MAX_READ_BYTES = 524288
# If a read returns less than 1/16 of the read size, the read size shrinks.
_SMALL_PART = 16
# Pieces per sendmsg(2); the kernel allows 1,024 (IOV_MAX).
_MAX_PIECES = 256
# How long accepting pauses when the process is out of file descriptors.
_RETRY_SECONDS = 1.0
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def without_delay(sock: socket.socket) -> None:
    """Send small segments at once (TCP_NODELAY). Accepted sockets inherit it from the listening one."""
    if sock.family is not socket.AF_UNIX:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _NoHandler:
    """The handler of a closed connection."""

    def connection_made(self, transport: Any) -> None:
        """Ignored."""

    def data_received(self, data: bytes) -> None:
        """Ignored."""

    def eof_received(self) -> bool:
        """Ignored."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Ignored."""

    def pause_writing(self) -> None:
        """Ignored."""

    def resume_writing(self) -> None:
        """Ignored."""


_NO_HANDLER = _NoHandler()


class SocketTransport:
    """A transport that owns a connected socket.

    :param connected: a non-blocking stream socket, with TCP_NODELAY unless it is a Unix socket.
    :param peername: the peer's address; None asks the socket.
    :param reads_rest: whether, after a failed write, the bytes are delivered that the peer sent before it closed. A
        server may answer and close while it is still being sent to; Linux keeps what arrived before the reset.
    """

    __slots__ = (
        "_closing",
        "_data_received",
        "_direct_readers",
        "_fd",
        "_full",
        "_handler",
        "_loop",
        "_paused",
        "_peer_sent_eof",
        "_peername",
        "_queue",
        "_queued_bytes",
        "_read_bytes",
        "_reads_rest",
        "_socket",
        "_write_error",
        "_write_side_closed",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        handler: ConnectionHandler,
        peername: Any = None,
        *,
        reads_rest: bool = False,
    ) -> None:
        self._loop = loop
        # See lbcompanion.node.transports.selector. Other loops have no such readers.
        self._direct_readers: dict[int, Callable[[], None]] | None = getattr(loop, "direct_readers", None)
        self._reads_rest = reads_rest
        self._write_error: OSError | None = None
        self._socket = connected
        self._fd = connected.fileno()
        self._peername = peername
        self._queue: deque[bytes | memoryview] = deque()
        self._queued_bytes = 0
        self._read_bytes = _MIN_READ_BYTES
        self._closing = False  # reading has stopped, and writes are ignored
        self._peer_sent_eof = False  # the peer closed its write side
        self._write_side_closed = False  # the companion closed its write side
        self._full = False
        self._paused = False
        self.set_protocol(handler)

    def start(self) -> None:
        """Call ``connection_made`` and start reading."""
        try:
            self._handler.connection_made(self)
        except Exception as error:
            self._on_handler_error(error, "connection_made")
        if not (self._closing or self._paused):
            self._add_reader()

    def set_protocol(self, handler: Any) -> None:
        """Replace the handler (the name is asyncio's)."""
        self._handler: ConnectionHandler = handler
        self._data_received: Callable[[bytes], None] = handler.data_received

    # Called by the handler.

    def write(self, data: bytes) -> None:
        if self._closing or self._write_side_closed:
            return
        if self._queued_bytes:
            self._enqueue(data)
            return
        try:
            sent = _send(self._fd, data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._write_failed(error)
            return
        if sent != len(data):
            self._enqueue(memoryview(data)[sent:])

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        if self._closing or self._write_side_closed:
            return
        sent = 0
        if not self._queued_bytes:
            try:
                sent = self._socket.sendmsg(list_of_data[:_MAX_PIECES])
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._write_failed(error)
                return
        for piece in list_of_data:
            size = len(piece)
            if sent >= size:
                sent -= size
                continue
            self._enqueue(memoryview(piece)[sent:] if sent else piece)
            sent = 0
            if not self._queued_bytes:
                return  # pause_writing() aborted the connection

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if not self._queued_bytes:
            self._loop.call_soon(self._report_lost, None)

    def write_eof(self) -> None:
        if self._closing or self._write_side_closed:
            return
        self._write_side_closed = True
        if not self._queued_bytes:
            self._shutdown_write_side()

    def abort(self) -> None:
        self._abort_with(None)

    def _force_close(self, error: BaseException | None) -> None:
        """Close at once; asyncio's TLS calls it by this name."""
        self._abort_with(error)

    def pause_reading(self) -> None:
        if not (self._closing or self._paused):
            self._paused = True
            self._remove_reader()
            # The consumer is slower than the peer: smaller reads keep less data in memory.
            self._read_bytes = max(self._read_bytes // 2, _MIN_READ_BYTES)

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            if not self._peer_sent_eof:
                self._add_reader()

    def get_write_buffer_size(self) -> int:
        return self._queued_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            if self._peername is None:
                with suppress(OSError):
                    self._peername = self._socket.getpeername()
            return self._peername
        return self._socket if name == "socket" else default

    # Called by the loop.

    def _readable(self) -> None:
        size = self._read_bytes
        try:
            data = _receive(self._fd, size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._abort_with(error)
            return
        if not data:
            # After a reset an empty read is no orderly end, but EPIPE says that the end had come before.
            if self._write_error is None or isinstance(self._write_error, BrokenPipeError):
                self._on_eof()
            else:
                self._abort_with(self._write_error)
            return
        if len(data) == size:
            self._read_bytes = min(4 * size, _MAX_READ_BYTES)
        elif size > _MIN_READ_BYTES and len(data) * _SMALL_PART < size:
            self._read_bytes = size // 4
        try:
            self._data_received(data)
        except Exception as error:
            self._on_handler_error(error, "data_received")

    def _on_eof(self) -> None:
        self._stop_reading()
        self._peer_sent_eof = True
        try:
            keep_open = self._handler.eof_received()
        except Exception as error:
            self._on_handler_error(error, "eof_received")
            return
        if not (keep_open or self._closing):
            self._closing = True
            if not self._queued_bytes:
                # No handler is running, so this needs no further iteration of the loop.
                self._report_lost(None)

    def _writable(self) -> None:
        queue = self._queue
        try:
            sent = self._socket.sendmsg(islice(queue, _MAX_PIECES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._write_failed(error)
            return
        self._queued_bytes -= sent
        while sent:
            first = queue[0]
            if sent < len(first):
                queue[0] = memoryview(first)[sent:]
                break
            sent -= len(first)
            queue.popleft()
        if self._full and self._queued_bytes <= LOW_WATER_BYTES:
            self._full = False
            try:
                self._handler.resume_writing()
            except Exception as error:
                if not self._queued_bytes:
                    self._loop.remove_writer(self._fd)
                self._on_handler_error(error, "resume_writing")
                return
        if not self._queued_bytes:
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._report_lost(None)
            elif self._write_side_closed:
                self._shutdown_write_side()

    # Internals.

    def _enqueue(self, data: bytes | memoryview) -> None:
        """Queue data that the socket did not take."""
        if not data:
            return
        if not self._queued_bytes:
            self._loop.add_writer(self._fd, self._writable)
        self._queue.append(data)
        self._queued_bytes += len(data)
        if self._queued_bytes > HIGH_WATER_BYTES and not self._full:
            self._full = True
            try:
                self._handler.pause_writing()
            except Exception as error:
                self._on_handler_error(error, "pause_writing")

    def _stop_reading(self) -> None:
        if not (self._paused or self._peer_sent_eof):
            self._remove_reader()

    def _add_reader(self) -> None:
        self._loop.add_reader(self._fd, self._readable)
        if self._direct_readers is not None:
            self._direct_readers[self._fd] = self._readable

    def _remove_reader(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._direct_readers is not None:
            self._direct_readers.pop(self._fd, None)

    def _shutdown_write_side(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _write_failed(self, error: OSError) -> None:
        """Close, perhaps after the bytes are delivered that arrived before the peer closed."""
        closed_by_peer = isinstance(error, ConnectionResetError | BrokenPipeError)
        if not (self._reads_rest and closed_by_peer) or self._closing or self._peer_sent_eof:
            self._abort_with(error)
            return
        self._write_error = error
        self._write_side_closed = True
        if self._queued_bytes:
            self._queue.clear()
            self._queued_bytes = 0
            self._loop.remove_writer(self._fd)
        if self._full:
            self._full = False
            self._loop.call_soon(self._handler.resume_writing)

    def _abort_with(self, error: BaseException | None) -> None:
        """Close at once; ``connection_lost`` is called in the next iteration of the loop."""
        if self._fd < 0:
            return
        if self._queued_bytes:
            self._queue.clear()
            self._queued_bytes = 0
            self._loop.remove_writer(self._fd)
        elif self._closing:
            return  # _report_lost is scheduled
        if not self._closing:
            self._closing = True
            self._stop_reading()
        self._loop.call_soon(self._report_lost, error)

    def _report_lost(self, error: BaseException | None) -> None:
        if self._fd < 0:
            return
        self._fd = -1
        try:
            self._handler.connection_lost(error)
        finally:
            self._socket.close()
            # The handler has this transport: without the cycle both are freed now, and not by the garbage collector.
            self.set_protocol(_NO_HANDLER)

    def _on_handler_error(self, error: Exception, callback: str) -> None:
        """Log an exception of the handler and abort this connection only."""
        error_context = {"message": f"a connection's handler failed in {callback}", "exception": error}
        self._loop.call_exception_handler(error_context)
        self._abort_with(error)


class SocketServer:
    """Accepts connections on a listening socket that it owns.

    :param accept_batch: how many connections are accepted per iteration of the loop.
    :param make_handler: creates the handler of a connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        make_handler: Callable[[], ConnectionHandler],
        accept_batch: int,
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._make_handler = make_handler
        self._accept_batch = accept_batch
        self._retry_timer: asyncio.TimerHandle | None = None
        listening.setblocking(False)  # an inherited socket may be blocking
        without_delay(listening)
        loop.add_reader(listening.fileno(), self._readable)

    def close(self) -> None:
        """Stop accepting; established connections go on."""
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()

    def _readable(self) -> None:
        for _ in range(self._accept_batch):
            try:
                connected, peername = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                error_context = {
                    "message": "accepting pauses for a second: no file descriptor is left",
                    "exception": error,
                }
                self._loop.call_exception_handler(error_context)
                self._loop.remove_reader(self._listening.fileno())
                self._retry_timer = self._loop.call_later(_RETRY_SECONDS, self._resume_accepting)
                return
            connected.setblocking(False)
            SocketTransport(self._loop, connected, self._make_handler(), peername).start()

    def _resume_accepting(self) -> None:
        self._retry_timer = None
        self._loop.add_reader(self._listening.fileno(), self._readable)

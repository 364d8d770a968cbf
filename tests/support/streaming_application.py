"""An application of any size: it sends and takes as much as it is asked for, and counts. For tests on an asyncio loop.

``/short`` is answered at once, ``/held`` once :attr:`StreamingApplication.let_go` is set, ``/bytes?N`` with so many
bytes (``/chunks?N`` in chunks, ``/page?N`` as a page in chunks). A body is counted, and the count is the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from lbcompanion.demo.ports import LOOPBACK

_BLOCK = bytes(range(256)) * 256
_PAGE = b"<!doctype html><html><head><title>x</title></head><body>" + b"<p>more</p>" * 200


class StreamingApplication:
    """Listens while it is entered.

    :ivar said: by path, what to answer instead, byte for byte.
    :ivar asked: how many requests began.
    :ivar sent: bytes of bodies that the companion took, of all answers.
    :ivar taken: bytes of bodies that came.
    :ivar cut: how many requests ended before their answer did.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self.let_go = asyncio.Event()
        self.said: dict[bytes, bytes] = {}
        self.asked = 0
        self.sent = 0
        self.taken = 0
        self.cut = 0
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> StreamingApplication:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port, backlog=256)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            # It is cancelled at the end of a test only.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    try:
                        await self._answer(head, reader, writer)
                    except (ConnectionError, asyncio.IncompleteReadError):
                        self.cut += 1
                        raise
        finally:
            self._running.discard(task)
            writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, _, size = head.split(b" ", 2)[1].partition(b"?")
        fields = head.lower()
        count = 0
        self.asked += 1
        if b"\r\ntransfer-encoding: chunked" in fields:
            count = await self._chunks(reader)
        elif b"\r\ncontent-length: " in fields:
            count = await self._length(reader, int(fields.partition(b"\r\ncontent-length: ")[2].split(b"\r\n", 1)[0]))
        if path in self.said:
            writer.write(self.said[path])
            await writer.drain()
            return
        if path == b"/held":
            await self.let_go.wait()
        if size:
            await self._send(path, int(size), writer)
            return
        told = b"%d" % count
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
        await writer.drain()

    async def _send(self, path: bytes, size: int, writer: asyncio.StreamWriter) -> None:
        block = _PAGE if path == b"/page" else _BLOCK
        kind = b"text/html" if path == b"/page" else b"application/octet-stream"
        chunked = path != b"/bytes"
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n\r\n" % (kind, framing))
        left = size
        while left:
            piece = block[:left]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            left -= len(piece)
            self.sent += len(piece)
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _length(self, reader: asyncio.StreamReader, length: int) -> int:
        left = length
        while left:
            piece = await reader.read(min(left, 262144))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            self.taken += len(piece)
        return length

    async def _chunks(self, reader: asyncio.StreamReader) -> int:
        count = 0
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
            count += size
            self.taken += size
        await reader.readuntil(b"\r\n")
        return count

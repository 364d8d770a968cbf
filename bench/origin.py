"""The application: pages, assets and streams. ``python -m bench.origin`` prints its port and runs until it is ended.

Its CPU is not measured; it is only to be no bottleneck. What it is asked is in the path, see :mod:`bench.workload`.
"""

from __future__ import annotations

import asyncio
import sys
from functools import cache

from bench.workload import Case, answer_head, answer_of, case_of, piece

_CHUNK = 16384
_PIECE = 8 * _CHUNK
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@cache
def _found(path: bytes, gzip: bool) -> Case | None:
    return case_of(path.decode("latin-1"), "gzip" if gzip else "identity")


def _chunks(at: int, size: int) -> bytes:
    """A part of a stream as chunks."""
    parts: list[bytes | memoryview] = []
    for start in range(at, at + size, _CHUNK):
        length = min(_CHUNK, at + size - start)
        parts += (b"%x\r\n" % length, piece(start, length), b"\r\n")
    return b"".join(parts)


class _Origin(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting = b""
        self._stream: Case | None = None
        self._sent = 0
        self._old = False
        self._may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._next()

    def _next(self) -> None:
        while self._stream is None and (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head, self._waiting = self._waiting[:end], self._waiting[end + 4 :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        line = head[: head.index(b"\r\n")]
        path, _, query = line.split(b" ")[1].partition(b"?")
        # Numbered paths have one answer: it is looked up once.
        path = path.rstrip(b"0123456789")
        # Some proxies ask in HTTP/1.0, one connection for each request.
        self._old = line.endswith(b"1.0")
        case = _found(path, b"\naccept-encoding: gzip" in head.lower())
        if case is None:
            self._transport.write(_MISSING)
            self._transport.close()
            return
        number = int(query[5 : query.index(b"&")])
        if not case.streamed:
            self._transport.write(answer_of(case, number))
            self._end()
            return
        written = answer_head(case, number)
        if self._old:
            written = written.replace(b"Transfer-Encoding: chunked\r\n", b"")
        self._stream, self._sent = case, 0
        self._transport.write(written)
        self._pump()

    def _pump(self) -> None:
        case = self._stream
        while case is not None and self._may_write:
            size = min(_PIECE, case.size - self._sent)
            if size == 0:
                self._stream = case = None
                self._end()
                self._next()
                return
            chunked = case.chunked and not self._old
            data: bytes | memoryview = _chunks(self._sent, size) if chunked else piece(self._sent, size)
            self._sent += size
            if chunked and self._sent == case.size:
                data = bytes(data) + b"0\r\n\r\n"
            self._transport.write(data)

    def _end(self) -> None:
        if self._old:
            # Not from within the transport's own write: it would then count the connection as lost twice.
            asyncio.get_running_loop().call_soon(self._transport.close)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._pump()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Origin, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this one holds its standard input: it ends when that one does, however that may be.
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())

"""The application and the crawler's intake of the soak, as one process: ``python -m bench.soak.application``.

It prints both ports as JSON. A line on its standard input is answered by what was counted, after all connections were
closed if it says ``hang up``. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable
from functools import cache
from urllib.parse import parse_qs, urlsplit

import httptools

from bench.workload import page, piece, script

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECE = 65536


@cache
def _gzipped(size: int) -> bytes:
    coder = zlib.compressobj(6, zlib.DEFLATED, 31)
    return coder.compress(page(size)) + coder.flush()


class _Counts:
    def __init__(self) -> None:
        self.notices = 0
        self.requests = 0
        self.open: set[asyncio.Transport] = set()


class _Connection(asyncio.Protocol):
    """One connection of a companion."""

    def __init__(self, counts: _Counts) -> None:
        self._counts = counts
        self._parser = httptools.HttpRequestParser(self)
        self._socket = False
        self._frames = b""
        self._may_write = True
        self._left = self._at = 0
        self._chunked = False
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._fields: dict[bytes, bytes] = {}
        self._size = 0
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._counts.open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._counts.open.discard(self._transport)
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if self._socket:
            self._echo(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self._socket = True
            self._echo(data[switch.args[0] :])

    # What the parser tells.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._fields.get(b"expect") == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        self._hash.update(data)
        if self._url == b"/notices":
            self._parts.append(data)

    def on_message_complete(self) -> None:
        self._counts.requests += 1
        url = urlsplit(self._url.decode())
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        answers: dict[str, Callable[[dict[str, str]], None]] = {
            "/notices": self._notices,
            "/page": self._page,
            "/asset": self._asset,
            "/upload": self._upload,
            "/stream": self._stream,
            "/socket": self._switch,
        }
        answers[url.path](query)
        self._begin()

    # What is answered.

    def _write(self, status: bytes, query: dict[str, str], fields: bytes, body: bytes = b"", length: int = -1) -> None:
        self._transport.write(
            b"HTTP/1.1 %b\r\nX-Request-Id: %b\r\nSet-Cookie: seen=%b; Path=/\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status, query["n"].encode(), query["n"].encode(), fields, length if length >= 0 else len(body), body)
        )

    def _notices(self, query: dict[str, str]) -> None:
        self._counts.notices += len(json.loads(b"".join(self._parts))["notices"])
        self._write(b"202 Accepted", {"n": "0"}, b"")

    def _page(self, query: dict[str, str]) -> None:
        size = int(query["size"])
        tag = b'"s%d"' % size
        fields = b"ETag: %b\r\nContent-Type: text/html; charset=utf-8\r\n" % tag
        if self._fields.get(b"if-none-match") == tag:
            head = b"HTTP/1.1 304 Not Modified\r\nX-Request-Id: %b\r\nETag: %b\r\n\r\n"
            self._transport.write(head % (query["n"].encode(), tag))
            return
        coded = self._fields.get(b"accept-encoding") == b"gzip"
        body = _gzipped(size) if coded else page(size)
        fields += b"Content-Encoding: gzip\r\n" if coded else b""
        is_head = self._parser.get_method() == b"HEAD"
        self._write(b"200 OK", query, fields, b"" if is_head else body, len(body))

    def _asset(self, query: dict[str, str]) -> None:
        self._write(b"200 OK", query, b"Content-Type: application/javascript\r\n", script(int(query["size"])))

    def _upload(self, query: dict[str, str]) -> None:
        on_command = json.dumps({"bytes": self._size, "sha256": self._hash.hexdigest()}).encode()
        self._write(b"200 OK", query, b"Content-Type: application/json\r\n", on_command)

    def _stream(self, query: dict[str, str]) -> None:
        self._left, self._at, self._chunked = int(query["size"]), 0, "chunked" in query
        framing = b"Transfer-Encoding: chunked" if self._chunked else b"Content-Length: %d" % self._left
        head = b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Type: application/octet-stream\r\n%b\r\n\r\n"
        self._transport.write(head % (query["n"].encode(), framing))
        self._pump()

    def _pump(self) -> None:
        while self._left and self._may_write and not self._transport.is_closing():
            size = min(_PIECE, self._left)
            part = bytes(piece(self._at, size))
            self._left, self._at = self._left - size, self._at + size
            if self._chunked:
                part = b"%x\r\n%b\r\n%b" % (size, part, b"" if self._left else b"0\r\n\r\n")
            self._transport.write(part)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._pump()

    def _switch(self, query: dict[str, str]) -> None:
        accept = base64.b64encode(hashlib.sha1(self._fields[b"sec-websocket-key"] + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nX-Request-Id: %b\r\n\r\n" % (accept, query["n"].encode())
        )

    def _echo(self, data: bytes) -> None:
        """Short masked frames come back unmasked (RFC 6455 section 5.2), a close as a close."""
        self._frames += data
        while len(self._frames) >= 6 and len(self._frames) >= (whole := 6 + (self._frames[1] & 127)):
            frame, self._frames = self._frames[:whole], self._frames[whole:]
            mask = frame[2:6] * 32
            plain = bytes(one ^ other for one, other in zip(frame[6:], mask, strict=False))
            self._transport.write(bytes([frame[0], len(plain)]) + plain)
            if frame[0] & 15 == 8:
                self._transport.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    counts = _Counts()
    servers = [await loop.create_server(lambda: _Connection(counts), "127.0.0.1", 0, backlog=1024) for _ in range(2)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    over = loop.create_future()

    def on_command() -> None:
        line = os.read(sys.stdin.fileno(), 100)
        if not line:
            loop.remove_reader(sys.stdin.fileno())
            over.set_result(None)
            return
        for transport in counts.open if line == b"hang up\n" else ():
            transport.abort()
        print(json.dumps({"notices": counts.notices, "requests": counts.requests}), flush=True)

    loop.add_reader(sys.stdin.fileno(), on_command)
    await over


if __name__ == "__main__":
    asyncio.run(_serve())

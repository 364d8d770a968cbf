"""The application: a page of 10 KB and its files. ``python -m bench.crawler.application`` prints its port and runs
until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys

from bench.workload import page

PAGE_BYTES = 10240
#: Files of the page at its own origin; its images are at another one, where the crawler does not fetch any.
FILES = ("/static/shop.4f1a9c.css", "/favicon.ico", "/static/shop.77be02.js")
_TYPES = {"css": b"text/css", "ico": b"image/x-icon", "js": b"text/javascript"}


def _answer(content_type: bytes, body: bytes, caching: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nCache-Control: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (content_type, caching, len(body)) + body


def page_without(files: bool) -> bytes:
    """Return the page; its images are elsewhere.

    :param files: whether its three files are elsewhere, too.
    """
    elsewhere = b"https://img.example.net/"
    body = page(PAGE_BYTES - 1000).replace(b'"/img/', b'"%bimg/' % elsewhere)
    if files:
        for path in FILES:
            body = body.replace(b'"%b"' % path.encode(), b'"%b"' % (elsewhere + path[1:].encode()))
    return body.replace(b"</main>", b"." * (PAGE_BYTES - len(body)) + b"</main>")[:PAGE_BYTES]


ANSWERS = {
    b"/page": _answer(b"text/html; charset=utf-8", page_without(True), b"no-store"),
    b"/with-files": _answer(b"text/html; charset=utf-8", page_without(False), b"no-store"),
    **{
        path.encode(): _answer(_TYPES[path.rpartition(".")[2]], b"/* a file */\n" * 200, b"max-age=3600")
        for path in FILES
    },
}
_NUMBER = b"." * 16
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class _Application(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head, self._waiting = self._waiting[:end], self._waiting[end + 4 :]
            path, _, query = head.split(b" ", 2)[1].partition(b"?")
            # Scrapy's pages are below /account/, where the companion keeps no copies.
            answer = ANSWERS.get(path.removeprefix(b"/account"), _MISSING)
            # No two pages are the same: the crawler writes such a page only once.
            self._transport.write(answer.replace(_NUMBER, query[-len(_NUMBER) :].rjust(len(_NUMBER), b"."), 1))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Application, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())

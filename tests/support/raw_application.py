"""An application of raw bytes in a thread: what it answers goes by the path."""

from __future__ import annotations

import gzip
import socketserver
import threading
from typing import Any

import h11

from tests.support.commands import WAIT
from tests.support.in_memory_node import PAGE, html

BIG = bytes(range(256)) * 20_000


class _Handler(socketserver.BaseRequestHandler):
    """One connection to the application: reads requests with h11, answers by their paths with raw bytes."""

    def handle(self) -> None:
        self.request.settimeout(WAIT)
        rest = b""
        try:
            while (read := self._read(rest)) is not None:
                asked, body, rest = read
                if not self._answer(bytes(asked.target).decode(), asked, body, rest):
                    return
        except OSError:
            return

    def _read(self, rest: bytes) -> tuple[h11.Request, bytes, bytes] | None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(rest) if rest else None
        asked, body = None, b""
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                asked = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert asked is not None
                return asked, body, connection.trailing_data[0]
            elif event is h11.NEED_DATA:
                data = self.request.recv(65536)
                if not data:
                    return None
                connection.receive_data(data)
            else:
                return None

    def _answer(self, path: str, asked: h11.Request, body: bytes, rest: bytes) -> bool:
        send = self.request.sendall
        plain = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        if path == "/page":
            send(html())
        elif path == "/gzip":
            send(html(gzip.compress(PAGE), b"Content-Encoding: gzip"))
        elif path == "/big":
            send(plain + b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG)
        elif path == "/chunked":
            send(plain + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(BIG), 100_000):
                piece = BIG[at : at + 100_000]
                send(b"%x\r\n%b\r\n" % (len(piece), piece))
            send(b"0\r\n\r\n")
        elif path == "/close":
            send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE)
            return False
        elif path == "/dies":
            send(plain + b"Content-Length: 1000\r\n\r\nonly this")
            return False
        elif path == "/slow":
            send(plain + b"Content-Length: 4\r\n\r\nab")
            self.server.slow.set()  # type: ignore[attr-defined]
            self.server.go_on.wait(WAIT)  # type: ignore[attr-defined]
            send(b"cd")
        elif path == "/echo":
            send(plain + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        elif path == "/early":
            send(b"HTTP/1.1 413 Much\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmuch")
        elif path == "/ws":
            send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + rest)
            while data := self.request.recv(65536):
                send(data)
            return False
        else:
            send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return True


class RawApplication(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.slow = threading.Event()
        self.go_on = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

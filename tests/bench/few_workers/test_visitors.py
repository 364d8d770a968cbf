"""Visitors of a burst count each response once, and say what went wrong."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.few_workers.visitors import Burst, browsers, crowd

pytestmark = pytest.mark.network
_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n%b\r\nbody"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            self.server.asked.append(line.split()[1])  # type: ignore[attr-defined]
            answer = self.server.answers[line.split()[1]]  # type: ignore[attr-defined]
            self.wfile.write(answer)
            if not answer or b"close" in answer:
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


@contextmanager
def application(answers: dict[bytes, bytes]) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.asked = answers, []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_LENGTH % b"", ""),
        (_LENGTH % b"Connection: close\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", ""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbody", "503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nelse", "wrong body"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nbody", "wrong body"),
        (b"", "closed without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", "no response within 0.3 s"),
    ],
)
def test_a_crowd_counts_each_response(answer: bytes, error: str) -> None:
    requests = 3 if error.startswith("no response") else 12
    with application({b"/": answer}) as server:
        outcome = Burst(server.server_address[1]).run(crowd("/", b"body", requests, 3), 0.3 if requests == 3 else 30)
    assert dict(outcome.errors) == ({error: requests} if error else {})
    assert outcome.answered == (0 if error else requests)
    assert 0 < outcome.worst <= outcome.seconds + 0.3
    assert len(server.asked) == requests  # type: ignore[attr-defined]


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_browsers_fetch_each_page_with_its_files(more: bytes) -> None:
    files = [(f"/{number}", b"body") for number in range(9)]
    with application({path.encode(): _LENGTH % more for path, _ in [("/page", b""), *files]}) as server:
        outcome = Burst(server.server_address[1]).run(browsers(("/page", b"body"), files, 5, 2), 30)
    asked = sorted(server.asked)  # type: ignore[attr-defined]
    assert asked == sorted([b"/page", *(path.encode() for path, _ in files)] * 5)
    assert (outcome.answered, dict(outcome.errors)) == (50, {})

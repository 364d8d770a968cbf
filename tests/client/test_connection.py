from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from lbcompanion.client import ApiError, ClientError, NotReachable
from lbcompanion.client.connection import Connection


@pytest.mark.parametrize("url", ["", "x", "ftp://a/", "http://", "http://a/path", "http://a/?b", "127.0.0.1:9201"])
def test_an_address_has_to_be_an_origin(url: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        Connection(url)


class Answers(BaseHTTPRequestHandler):
    """Answers with what the path says."""

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        status, body = {
            "/json": (200, b'{"a": 1}'),
            "/text": (200, b"hello"),
            "/cut": (200, b"x"),
            "/moved": (302, b""),
            "/busy": (503, b'{"detail": "too many"}'),
            "/broken": (500, b"<p>"),
        }[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in (("Location", "/json"), ("Retry-After", "7")):
            self.send_header(name, value)
        self.send_header("Content-Length", "100" if self.path == "/cut" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_given: Any) -> None:
        pass


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.network
def test_answers(address: str) -> None:
    connection = Connection(address, "a-token", 30)
    assert connection.json("/json", {"from": "a+b&c"}) == {"a": 1}
    assert Answers.seen[-1] == ("/json?from=a%2Bb%26c", "Bearer a-token")
    with pytest.raises(ClientError, match="not JSON"):
        connection.json("/text")
    with pytest.raises(NotReachable, match="99 bytes are missing"):
        connection.json("/cut")
    with pytest.raises(ApiError, match="302") as moved:
        connection.json("/moved")
    assert moved.value.retry_after == 7
    with pytest.raises(ApiError, match="503: too many"):
        connection.json("/busy")
    with pytest.raises(ApiError, match="500: Internal Server Error"):
        connection.json("/broken")
    assert "a-token" not in repr(connection) + str(moved.value)

"""An application of one page and some files, in a thread, that answers ranges and conditions by the rules."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attrs import define, field

DATE = "Thu, 26 Nov 2026 10:00:00 GMT"


@define
class PageApplication:
    """The pages that it serves, and the requests that it got.

    :ivar resources: by path: Content-Type and body.
    :ivar received: path and fields of each request, names in lower case.
    """

    resources: dict[str, tuple[str, bytes]] = field(factory=dict)
    received: list[tuple[str, dict[str, str]]] = field(factory=list)

    def requests_for(self, path: str) -> list[dict[str, str]]:
        """The fields of the requests for a path."""
        return [fields for asked, fields in list(self.received) if asked == path]

    def answer(self, path: str, fields: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and body of a response."""
        if path not in self.resources:
            return 404, {"Content-Type": "text/plain"}, b"nothing here"
        content_type, body = self.resources[path]
        said = {"Content-Type": content_type, "Last-Modified": DATE, "Accept-Ranges": "bytes"}
        start, dash, last = fields.get("range", "").removeprefix("bytes=").partition("-")
        if not dash or not start or fields.get("if-range", DATE) != DATE:
            return 200, said, body
        if int(start) >= len(body):
            return 416, {**said, "Content-Range": f"bytes */{len(body)}"}, b""
        part = body[int(start) : int(last) + 1 if last else len(body)]
        return 206, {**said, "Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(body)}"}, part


@contextmanager
def serving(application: PageApplication, port: int) -> Iterator[None]:
    """Serve it at a port of the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            received = {name.lower(): value for name, value in self.headers.items()}
            application.received.append((path, received))
            status, fields, body = application.answer(path, received)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

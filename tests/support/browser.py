"""A site for a real browser: pages, scripts, and the notices that its script sent."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from tests.support.tags import default_tag

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


TAG = default_tag("TOKEN", "http://x.test/_lbc/page/TOKEN", "/_lbc/fetch-from.js?v=1", None, False).decode()


class Site:
    """A site of a few pages, and the notices that came.

    :ivar address: the origin without its scheme.
    :ivar folder: what is no page is looked for in here.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.scripts: dict[str, bytes] = {}
        self.notices: list[dict[str, Any]] = []
        self.types: list[str] = []
        self.bodies: list[bytes] = []
        self.posted: list[tuple[str, str]] = []
        self.folder: Path | None = None
        self._arrived = threading.Condition()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path in site.scripts:
                    fields = {"Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*"}
                    self._answer(200, site.scripts[path], fields)
                elif path in site.pages:
                    self._answer(200, *site.pages[path])
                elif site.folder and (file := site.folder / path[1:]).is_file():
                    self._answer(200, file.read_bytes(), {"Content-Type": guess_type(path)[0] or "text/plain"})
                else:
                    self._answer(404, b"", {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(204, b"", {})
                if self.path.endswith("/_lbc/notice"):
                    site.posted.append((self.path, self.headers["Cookie"] or ""))
                    site.arrived(body, self.headers["Content-Type"] or "")

            def _answer(self, status: int, body: bytes, fields: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"//127.0.0.1:{self._server.server_address[1]}"
        self.origin = f"http:{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def arrived(self, body: bytes, content_type: str) -> None:
        with self._arrived:
            self.notices.append(json.loads(body))
            self.types.append(content_type)
            self.bodies.append(body)
            self._arrived.notify_all()

    def wait(self, count: int = 1) -> list[dict[str, Any]]:
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.notices) >= count, 60)
            return list(self.notices)

    def add(self, path: str, head: str = TAG, body: str = "x", **fields: str) -> str:
        page = f"<!DOCTYPE html><html><head>{head}<title>x</title></head><body>{body}</body></html>".encode()
        self.pages[path] = (page, {"Content-Type": "text/html; charset=utf-8", **fields})
        return self.origin + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

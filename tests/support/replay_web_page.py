"""ReplayWeb.page, served for a browser together with a WACZ file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.programs import need_program

# On a busy machine the player sometimes waits for its service worker for ever; then it is loaded again.
_TRIES, _WAIT_MS = 4, 40_000


def _shown_text(page: Any) -> str:
    for _ in range(_WAIT_MS // 200):
        page.wait_for_timeout(200)
        shown = next((frame for frame in page.frames if "mp_/" in frame.url), None)
        if shown is not None and (text := shown.locator("body").inner_text().strip()):
            return str(text)
    return ""


class Player:
    """ReplayWeb.page at an address of this machine."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def text(self, page: Any, address: str, time: str) -> str:
        """The content that the player shows for an address and a time from a list of pages."""
        digits = "".join(char for char in time if char.isdigit())
        for _ in range(_TRIES):
            page.goto(f"{self._origin}/?url={escape(address)}")
            page.set_content(
                f'<!doctype html><base href="{self._origin}/"><script src="/ui.js"></script>'
                f'<replay-web-page source="/a.wacz" replayBase="/replay/" embed="replayonly" url="{escape(address)}" '
                f'ts="{digits}" style="height: 600px"></replay-web-page>'
            )
            if text := _shown_text(page):
                return text
        raise AssertionError("nothing is shown")


@contextmanager
def replay_web_page(wacz: Path) -> Iterator[Player]:
    """Serve the player and a file; ranges are answered as by any server."""
    package = Path(need_program("replaywebpage"))
    content = {
        "/ui.js": (package / "ui.js").read_bytes(),
        "/replay/ui.js": (package / "ui.js").read_bytes(),
        "/replay/sw.js": (package / "sw.js").read_bytes(),
        "/a.wacz": wacz.read_bytes(),
        "/": b"<!doctype html>",
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_of: object) -> None:
            """Requests are not shown."""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            data = content.get(path)
            if data is None:
                self.send_error(404)
                return
            first, last = 0, len(data) - 1
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            if asked:
                start, _, end = asked.partition("-")
                first = int(start) if start else max(len(data) - int(end), 0)
                last = min(int(end), last) if start and end else last
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Type", "text/javascript" if path.endswith(".js") else "text/html")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data[first : last + 1])

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Player(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

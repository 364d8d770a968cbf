"""The crawler's admin listener over an archive in a folder, served to a browser by a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import treq
from treq.testing import StubTreq
from twisted.internet.task import Clock

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin import api
from lbcompanion.crawler.admin.endpoint import Caller
from lbcompanion.crawler.admin.listener import AdminResource
from lbcompanion.crawler.admin.script_pages import ScriptPages
from lbcompanion.crawler.admin.viewings import Viewings
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.requisite_report import MissingRequisite, RequisiteReport
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.protocol.tokens import Tokens, digest_of
from lbcompanion.sticky.routes import Routes
from tests.support.archives import NOW, Place
from tests.support.arrivals import arrival
from tests.support.simulated_farm import SECRET, immediately

ORIGIN = "http://www.example.com"


def requisite(path: str, body: bytes, content_type: str, origin: str = ORIGIN) -> Requisite:
    return Requisite(origin + path, content_type, digest_of(body), body)


class RecordedPages:
    """An archive, and the admin listener's answers about it."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self._number = 0
        self._lock = threading.Lock()
        self.clock = Clock()
        self.metrics = CrawlerMetrics()
        self.viewings = Viewings(
            seconds=600, most=1000, clock=self.clock.seconds, random=os.urandom, metrics=self.metrics
        )
        self._scripts = ScriptPages(
            viewings=self.viewings, metrics=self.metrics, trail=None, origin="http://scripts.test", port=lambda: 0
        )
        self.scripts = AdminResource(self._scripts.endpoints(), hosts=("scripts.test",), for_other_sites=True)
        self.use()

    def use(self, **more: Any) -> None:
        """Build the listener, with further parts."""
        self._admin = api.admin_resource(
            backlog=self.place.backlog,
            archive=self.place.archive,
            database=self.place.database,
            defer=immediately,
            routes=Routes(),
            metrics=CrawlerMetrics(),
            sites=lambda: [ORIGIN],
            scripts=self._scripts,
            **more,
        )

    def record(
        self,
        body: bytes,
        path: str = "/",
        files: tuple[Requisite, ...] = (),
        *,
        content_type: str = "text/html; charset=utf-8",
        missing: dict[str, str] | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        visitor: str = "",
        node: str = "n1",
        at: float = NOW,
        origin: str = ORIGIN,
        method: str = "GET",
        removed: RemovedParts | None = None,
        owner: str = "n1",
        viewed_at: float = 1.0,
    ) -> str:
        """Archive a page; return its token.

        :param owner: the node that made the page; ``node`` is the one that answered the crawler.
        """
        self._number += 1
        token = Tokens(SECRET, "n1", lambda size: digest_of(b"%d" % self._number)[:size]).mint()
        self.place.backlog.add([arrival(token, owner, visitor=visitor, viewed_at=viewed_at)], NOW)
        head = None
        if fields or removed is not None:
            head = PageHead("HTTP/1.1 200 OK", 200, (("Content-Type", content_type), *fields), removed=removed)
        copy = FetchedCopy(
            *(node, origin + path, method, 200, content_type, at, "own", digest_of(body), body), head=head
        )
        missed = tuple(MissingRequisite(url, reason) for url, reason in (missing or {}).items())
        report = RequisiteReport(len(files) + len(missed), missed)
        self.place.archive.store(token, copy, files, "own", (), report)
        return token

    def key(self, token: str) -> str:
        """The key for a recording of a viewing that begins now."""
        return self.viewings.begin(Caller("", Role.OPERATOR, "open")).key(token)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """The answer of the admin listener."""
        return self._get(self._admin, path, headers)

    def get_with_scripts(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """The answer of the listener where scripts run."""
        return self._get(self.scripts, path, headers)

    def _get(
        self, resource: AdminResource, path: str, headers: dict[str, str] | None
    ) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            found: list[Any] = []
            http = StubTreq(resource)
            address = f"http://127.0.0.1{path}"
            http.get(address, headers=headers, reactor=Clock(), allow_redirects=False).addCallback(found.append)
            treq.content(found[0]).addCallback(found.append)
        fields = {name.decode().lower(): values[0].decode() for name, values in found[0].headers.getAllRawHeaders()}
        fields.pop("content-encoding", None)  # the client in between has decoded the body
        return found[0].code, fields, found[1]

    def close(self) -> None:
        self.place.database.close()


class AdminServer:
    """Serves answers on loopback, and takes note of the paths that were asked for.

    :param get: returns the answer to a path and the fields of a request about its use.
    :ivar left_out: fields of answers that are not sent.
    """

    def __init__(self, get: Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes]]) -> None:
        self.asked: list[str] = []
        self.left_out: set[str] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                sent = {name: self.headers[name] for name in ("Sec-Fetch-Dest",) if name in self.headers}
                status, fields, body = get(self.path, sent)
                self.send_response(status)
                fields["content-length"] = str(len(body))
                for name, value in fields.items():
                    if name not in server.left_out:
                        self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):  # a page that was left
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""A running crawler for the tests of its client: an archive with pages, users, and a webhook."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from lbcompanion.client import ApiError, Client, Delivery, NotReachable, SignatureRefused, read_webhook
from lbcompanion.client.connection import Connection
from lbcompanion.crawler.access.passwords import token_hash
from lbcompanion.crawler.access.users_file import User, change_users
from lbcompanion.model import Notice
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym
from tests.support.archives import Place
from tests.support.arrivals import arrival
from tests.support.children import Child, Children, wait_for
from tests.support.ports import free_port

SECRET, HOOK_SECRET = b"0123456789abcdef-secret", b"a webhook's own secret"
VISITOR = visitor_pseudonym(visitor_key(SECRET), "ann")
PAGES = {f"t{number}": f"<title>Page {number % 2}</title>".encode() for number in range(3)}


class Hook(ThreadingHTTPServer):
    """A program that receives outcomes; it answers with the next of some statuses, then 204."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.statuses: list[int] = []
        self.deliveries: list[Delivery] = []
        self.refused: list[str] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def tokens(self) -> list[str]:
        return [each.recording.token for delivery in self.deliveries for each in delivery.outcomes]


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        try:
            delivery = read_webhook(HOOK_SECRET, target=self.path, headers=self.headers.items(), body=body)
        except SignatureRefused as failure:
            status = 403
            self.server.refused.append(str(failure))
        else:
            if status < 300:
                self.server.deliveries.append(delivery)
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.refused.append(f"GET {self.path}")
        self.send_error(405)

    def log_message(self, *_given: Any) -> None:
        pass


@define
class Served:
    """A running crawler.

    :ivar child: its process.
    """

    address: str
    intake: str
    hook: Hook
    children: Children
    config: Path
    child: Child
    _mint: Tokens = field(factory=lambda: Tokens(SECRET, "n1", os.urandom))

    def client(self, name: str = "olga", **more: Any) -> Client:
        return Client(self.address, f"lbc_{name}", **more)

    def lose(self, count: int = 1) -> list[str]:
        """Deliver notices of no configured site: these pages are lost at once."""
        made = [self._mint.mint() for _ in range(count)]
        now = time.time()
        body = write_notices([Notice(token, f"http://unknown.test/{token}", {}, now, now) for token in made])
        url = f"{self.intake}/notices"
        signed = Signer(SECRET).sign("POST", url, os.urandom(16).hex(), now, body)
        request = urllib.request.Request(url, body, dict(signed), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202
        return made

    def start(self) -> None:
        """Start the crawler, and wait until it answers."""
        self.child = self.children.lbcompanion("crawler", "crawler", "--config", str(self.config))
        connection = Connection(self.address, timeout=5)

        def is_up() -> bool:
            try:
                with connection.open("/healthz"):
                    return True
            except ApiError:
                return True
            except NotReachable:
                return False

        wait_for("the crawler", is_up, 90, self.child)

    def restart(self) -> None:
        """Kill the crawler, and start it again."""
        self.child.kill()
        self.child.ended()
        self.start()


@pytest.fixture(scope="package", name="served")
def served_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("client")
    place = Place(folder)
    for token, body in PAGES.items():
        place.backlog.add([arrival(token, visitor=VISITOR)], 1.0)
        place.store(token, body)
    place.database.close()
    for name, secret in (("farm.secret", SECRET), ("hook.secret", HOOK_SECRET)):
        (folder / name).write_bytes(secret + b"\n")
        (folder / name).chmod(0o600)
    roles = {"olga": "operator", "vera": "viewer"}
    users = [User(name, role, None, token_hash(f"lbc_{name}")) for name, role in roles.items()]
    change_users(folder / "users", lambda found: found.update({user.name: user for user in users}))
    listen, admin, hook = free_port(), free_port(), Hook()
    config = folder / "crawler.toml"
    config.write_text(
        f'[crawler]\nsecret_file = "farm.secret"\nqueue = "sqlite:///q.db"\narchive_dir = "archive"\n'
        'users_file = "users"\n'
        f'listen = "tcp:{listen}:interface=127.0.0.1"\nadmin = "tcp:{admin}:interface=127.0.0.1"\nmin_free_bytes = 0\n'
        '[sites.main]\norigin = "http://127.0.0.1:9"\n[sites.other]\norigin = "http://127.0.0.2:9"\n'
        "[outcomes]\nstreams = 3\nheartbeat_seconds = 1\n"
        f'[webhooks.shop]\nurl = "http://127.0.0.1:{hook.server_port}/in?from=shop"\nsecret_file = "hook.secret"\n'
        "max_events = 4\nmax_pause_seconds = 2\n"
    )
    children = Children(folder)
    none: Any = None
    served = Served(f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{listen}", hook, children, config, none)
    try:
        served.start()
        yield served
    finally:
        children.kill()
        hook.shutdown()
        hook.server_close()

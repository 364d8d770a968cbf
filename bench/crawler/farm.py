"""A small farm on loopback: the application, two nodes, and HAProxy before them with a sticky cookie."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from bench.peers.companion import Companion
from bench.peers.interface import Peer, PeerFailed, program
from bench.workload import HOST, TAG
from lbcompanion.demo.ports import ReservedPorts
from lbcompanion.model import Notice, NoticeSource
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.testing.stopped_processes import stop_processes

_ROOT = Path(__file__).resolve().parents[2]
_NODES = ("n1", "n2")
_STORE = "[store]\nmax_bytes = 1073741824\nmax_pages = 100000\n"
_FRONT = """\
global
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend visitors
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    cookie SRV insert indirect nocache
{servers}
"""
_CRAWLER = """\
[crawler]
listen = "tcp:{port}:interface=127.0.0.1"
admin = "tcp:{admin_port}:interface=127.0.0.1"
secret_file = "farm.secret"
state_dir = "state"
archive_dir = "archive"
requisites = {requisites}
{settings}
[sites.main]
origin = "http://{host}"
connect = "tcp:127.0.0.1:{front_port}"
dialect = "haproxy-insert"
cookies = ["SRV"]
"""
_CLI = "import sys; from lbcompanion.cli import main; sys.exit(main())"


class _Node(Companion):
    node = "n1"
    secret = ""

    def command(self) -> list[str]:
        command = super().command()
        (self.folder / "farm.secret").write_text(self.secret)
        file = self.folder / "n1.toml"
        file.write_text(file.read_text().replace('name = "n1"', f'name = "{self.node}"') + _STORE)
        return command


class _Front(Peer):
    name = "HAProxy with a sticky cookie"
    servers: tuple[tuple[str, int], ...] = ()

    @classmethod
    def missing(cls) -> str:
        return "" if program("haproxy") else "haproxy"

    def command(self) -> list[str]:
        lines = [f"    server {name} 127.0.0.1:{port} cookie {name}" for name, port in self.servers]
        (self.folder / "haproxy.cfg").write_text(_FRONT.format(port=self.port, servers="\n".join(lines)))
        return [program("haproxy") or "haproxy", "-f", "haproxy.cfg", "-db"]


class Crawler(Peer):
    """The crawler as a process.

    :ivar prefix: what stands before its command, such as the variables of a call counter.
    :ivar settings: further lines of ``[crawler]``.
    """

    name = "lbcompanion crawler"
    secret = ""
    front_port = 0
    requisites = True
    settings = ""
    prefix: tuple[str, ...] = ()
    prepare: Callable[[Path], None]

    @classmethod
    def missing(cls) -> str:
        """Do nothing: it is installed."""
        return ""

    def command(self) -> list[str]:
        """The command of the project."""
        (self.folder / "farm.secret").write_text(self.secret)
        (self.folder / "crawler.toml").write_text(
            _CRAWLER.format(
                port=self.port,
                admin_port=self.admin_port,
                front_port=self.front_port,
                host=HOST,
                requisites=str(self.requisites).lower(),
                settings=self.settings,
            )
        )
        self.prepare(self.folder)
        command = self.python_command("-c", _CLI, "crawler", "--config", "crawler.toml")
        return [command[0], *self.prefix, *command[1:]]

    def send(self, how: signal.Signals) -> None:
        """Send a signal to its processes; after SIGSTOP they have stopped."""
        if how is signal.SIGSTOP:
            stop_processes(self.pids)
            return
        for pid in self.pids:
            os.kill(pid, how)

    def stats(self) -> dict[str, Any]:
        """Return its counters."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/api/stats", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def deliver(self, notices: list[Notice]) -> None:
        """Deliver notices to its intake, 100 at a time as a node does.

        :raises PeerFailed: if they are refused.
        """
        signer = Signer(self.secret.encode())
        url = f"http://127.0.0.1:{self.port}/notices"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        for start in range(0, len(notices), 100):
            body = write_notices(notices[start : start + 100])
            fields = dict(signer.sign("POST", url, secrets.token_hex(16), time.time(), body))
            connection.request("POST", "/notices", body, {**fields, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                raise PeerFailed(f"the intake answered {answer.status}")
        connection.close()


class Farm:
    """Everything but the crawler; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = secrets.token_hex(32)
        self.ports = ReservedPorts()
        self._stack = ExitStack()
        self._visits = 0

    def __enter__(self) -> Self:
        self._stack.callback(self.ports.release)
        application = subprocess.Popen(
            [sys.executable, "-m", "bench.crawler.application"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._stack.callback(application.wait)
        assert application.stdin is not None
        assert application.stdout is not None
        self._stack.callback(application.stdin.close)
        port = int(application.stdout.readline())
        self.nodes = [self.add(self._node(name, port)) for name in _NODES]
        front = _Front(self.folder / "front", 0, self.ports.take(), self.ports.take())
        front.servers = tuple((name, node.port) for name, node in zip(_NODES, self.nodes, strict=True))
        self.front_port = self.add(front).port
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _node(self, name: str, application_port: int) -> Peer:
        node = _Node(self.folder / name, application_port, self.ports.take(), self.ports.take())
        node.node, node.secret = name, self.secret
        return node

    def add(self, peer: Peer) -> Peer:
        """Start a further program, which ends with the farm."""
        self._stack.callback(peer.stop)
        peer.start()
        return peer

    def crawler(
        self,
        name: str,
        prefix: dict[str, str],
        prepare: Callable[[Path], None] = lambda _folder: None,
        settings: str = "",
    ) -> Crawler:
        """Start a crawler, which ends with the farm.

        :param prefix: variables of its environment.
        :param prepare: called with its folder before it starts.
        :param settings: further lines of ``[crawler]``.
        """
        made = Crawler(self.folder / name, 0, self.ports.take(), self.ports.take())
        made.secret, made.front_port = self.secret, self.front_port
        made.prefix = tuple(f"{key}={value}" for key, value in prefix.items())
        made.prepare, made.settings = prepare, settings
        self.add(made)
        return made

    def visit(self, pages: int, path: str) -> list[Notice]:
        """Visit pages and return the notices that the nodes would send.

        :raises PeerFailed: if a page has no copy.
        """
        notices = []
        connection = HTTPConnection("127.0.0.1", self.front_port, timeout=10)
        for _ in range(pages):
            self._visits += 1
            server = _NODES[self._visits % len(_NODES)]
            address = f"{path}?n={self._visits}"
            connection.request("GET", address, headers={"Host": HOST, "Cookie": f"SRV={server}", "Accept": "text/html"})
            found = TAG.search(connection.getresponse().read())
            if found is None:
                raise PeerFailed("a page came without the script: no copy was kept")
            now, url = time.time(), f"http://{HOST}{address}"
            notices.append(Notice(found[1].decode(), url, {"SRV": server}, now, now, url, NoticeSource.BROWSER))
        connection.close()
        return notices

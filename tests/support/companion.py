"""One running companion before an application that a test plays itself: its ports, what it tells about itself.

With ``LBC_TEST_TWISTD=1`` it is started by twistd on Twisted's own transports, so that every test that runs one can be
run on them too.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from lbcompanion.demo.processes import companion_command
from tests.support.children import Child, Children, wait_for

SECRET = b"the farm's secret of these tests, long enough"
# Longer than an idle connection to the application is kept (upstream_idle_seconds, looked at every second).
_SETTLE_SECONDS = 45.0
# A module that stands for None cannot be imported: as where nothing was compiled.
_IN_PYTHON = (
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.modules['lbcompanion.http1._lines'] = None; from lbcompanion.cli import main; sys.exit(main())",
    "node",
    "--config",
)
#: What a log has only where an error of the companion's own came through.
_TRACES = ("Traceback (most recent call last)", "Unhandled", "Task exception was never retrieved")


class Companion:
    """A ``lbcompanion node`` process.

    :param more: further lines of its file; lines before the first table are ``[node]``'s.
    :param compiled: whether it may read heads with what was compiled; else Python does it.
    :param descriptors: how many it may have open, 0: as many as these tests.
    :param intake: the crawler's origin; empty: no notices are kept.
    :ivar port: where visitors come in.
    :ivar application_port: where it looks for the application; nothing listens there, the port is held.
    """

    def __init__(
        self,
        folder: Path,
        children: Children,
        ports: ReservedPorts,
        name: str,
        more: str = "",
        compiled: bool = True,
        descriptors: int = 0,
        intake: str = "",
    ) -> None:
        self.port, self.application_port, self.admin_port = ports.take(), ports.take(), ports.take()
        self.name = name
        secret_file = folder / "farm.secret"
        if not secret_file.exists():  # another companion of the folder may be reading it
            secret_file.write_bytes(SECRET)
        self._file = folder / f"{name}.toml"
        self._file.write_text(
            f"""[node]
name = "n1"
listen = ["tcp:{self.port}:interface={LOOPBACK}"]
upstream = "tcp:{LOOPBACK}:{self.application_port}"
secret_file = "farm.secret"
state_dir = "state-{name}"
admin = "tcp:{self.admin_port}:interface={LOOPBACK}"
{more}
[crawler]
intake = "{intake}"
"""
        )
        limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
        self.child: Child = children.start(name, [*limited, *_command(compiled, str(self._file))])

    def wait(self) -> None:
        """Until it answers."""
        wait_for(f"companion {self.name}", self._healthy, 60, self.child)

    def knocked(self) -> None:
        """Let it find the application in its place once.

        It knocks there every two seconds, unless it has answered somebody meanwhile (:meth:`keep_busy`): an
        application that takes one connection at a time would take a knock for a request that never comes.
        """
        with socket.create_server((LOOPBACK, self.application_port)) as door:
            door.settimeout(60)
            door.accept()[0].close()
            wait_for(f"companion {self.name} to be ready", self._ready, 60, self.child)

    def keep_busy(self) -> None:
        """Have it answer something, so that it need not knock at the application's door."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        try:
            connection.request("GET", "/_lbc/whoami", headers={"Connection": "close"})
            connection.getresponse().read()
        finally:
            connection.close()

    def _ready(self) -> bool:
        return bool(json.loads(self._asked("/readyz"))["ready"])

    def _healthy(self) -> bool:
        try:
            return self._asked("/healthz") == "ok\n"
        except OSError:
            return False

    def _asked(self, path: str) -> str:
        connection = http.client.HTTPConnection(LOOPBACK, self.admin_port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """Return ``/status``."""
        payload: dict[str, Any] = json.loads(self._asked("/status"))
        return payload

    def metrics(self) -> str:
        """Return ``/metrics``."""
        return self._asked("/metrics")

    def metric(self, name: str) -> float:
        """One number of :meth:`metrics`, 0 where it is not there yet; labels are part of the name."""
        for line in self.metrics().splitlines():
            if line.startswith(f"lbcompanion_node_{name} "):
                return float(line.split()[-1])
        return 0.0

    def left_open(self) -> dict[str, float]:
        """Return the resources that it still holds when idle; after some seconds there must be none."""
        until = time.monotonic() + _SETTLE_SECONDS
        while True:
            found = {name: self.metric(name) for name in ("connections_open", "upstream_idle", "capturing_bytes")}
            if not any(found.values()) or time.monotonic() > until:
                return {name: value for name, value in found.items() if value}
            time.sleep(0.02)

    def failures(self) -> list[str]:
        """Errors of its own that no visitor saw, by its counters and its log."""
        found = [f"failed open: {where} {count:g}" for where, count in self.status()["failed_open"].items()]
        log = self.child.log.read_text("utf-8", "replace")
        return found + [f"log: {trace}" for trace in _TRACES if trace in log]

    def memory_bytes(self) -> int:
        """How much memory it holds now."""
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024


TWISTD = bool(os.environ.get("LBC_TEST_TWISTD"))
#: How it ends once it has stopped in good order: twistd ends by the signal that it was sent.
STOPPED = -signal.SIGTERM if TWISTD else 0


def _command(compiled: bool, file: str) -> Sequence[str]:
    if TWISTD:
        return [sys.executable, "-m", "twisted", "--reactor=epoll", "lbcompanion", "--config", file]
    return companion_command("node", "--config", file) if compiled else [*_IN_PYTHON, file]


@contextmanager
def companion(
    folder: Path, more: str = "", compiled: bool = True, descriptors: int = 0, intake: str = ""
) -> Iterator[Companion]:
    """A companion of its own for one test; ended behind it."""
    ports, children = ReservedPorts(), Children(folder)
    try:
        one = Companion(folder, children, ports, "companion", more, compiled, descriptors, intake)
        one.wait()
        yield one
    finally:
        children.kill()
        ports.release()

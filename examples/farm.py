"""Runs one example: its application on two nodes, a companion beside each, its balancer and a crawler, on loopback.

``farm.py FOLDER`` starts it and prints the addresses. Ctrl-C ends it: all processes stop, and all files are removed.

The folder has:

``prepare``
    Optional. Runs once, before the nodes, for example to make a database.
``application``
    Starts the application of one node in the foreground.
``balancer``
    Starts the balancer in the foreground.
``sticky.toml``
    How the balancer sticks: keys of ``[sticky]`` of a node's file, and of the site in the crawler's file.
``node.toml``
    Optional. Further lines for a node's file.

The three programs find in their environment:

``FARM``
    A folder for files that all nodes share.
``SITE_PORT``
    The balancer's port.
``PYTHON``
    The Python that runs this program.
``FOLDER``, ``NODE``, ``PORT``
    For ``application`` only: a folder for the node's files, the node's name, and the port to listen on.
``N1``, ``N2``, ``N1_ADMIN``, ``N2_ADMIN``
    For ``balancer`` only: the ports of the companions, and of their admin listeners.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from lbcompanion.demo.processes import companion_command

NODES = ("n1", "n2")
_READY_SECONDS = 90.0
_STOP_SECONDS = 12.0
_LOG_TAIL_BYTES = 3000

_NODE = """[node]
name = "{name}"
listen = ["tcp:{public}:interface=127.0.0.1"]
upstream = "tcp:127.0.0.1:{application}"
secret_file = "farm.secret"
state_dir = "state-{name}"
admin = "tcp:{admin}:interface=127.0.0.1"

[sticky]
{sticky}
[crawler]
intake = "http://127.0.0.1:{intake}"
{more}"""

_CRAWLER = """[crawler]
listen = "tcp:{intake}:interface=127.0.0.1"
admin = "tcp:{admin}:interface=127.0.0.1"
secret_file = "farm.secret"
state_dir = "state-crawler"
archive_dir = "archive"

[sites.main]
origin = "http://127.0.0.1:{site}"
{sticky}"""


class Failed(Exception):
    """A program ended, or did not answer in time."""


class Program:
    """One process with its own process group, so that nothing that it started outlives it.

    :param name: its name in messages, and of its log file.
    :param log: the file for its output.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether it does not run any more."""
        return self._process.poll() is not None

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop."""
        if not self.ended:
            self._process.terminate()

    def kill(self) -> None:
        """Kill what is left of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def failure(self, problem: str) -> Failed:
        """Return the exception to raise, with the end of the log."""
        tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
        return Failed(f"{self.name} {problem}; the end of its log:\n{tail}")


class Farm:
    """All programs of one example.

    :param example: the example's folder.
    :param folder: for configurations, logs, states and archive.
    """

    def __init__(self, example: Path, folder: Path) -> None:
        self._example = example
        self._folder = folder
        self._ports = ReservedPorts()
        self._applications: list[Program] = []
        self._companions: list[Program] = []
        self._others: list[Program] = []
        self._node_admins: list[int] = []
        self.site = self._ports.take()
        self.admin = self._ports.take()

    def start(self) -> None:
        """Start everything; return when the site serves visitors.

        :raises Failed: if a program ends, or does not answer in time.
        """
        self._prepare()
        secret = self._folder / "farm.secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_urlsafe(32) + "\n")
        sticky, intake = (self._example / "sticky.toml").read_text(), self._ports.take()
        application = {name: self._ports.take() for name in NODES}
        public = {name: self._ports.take() for name in NODES}
        admin = {name: self._ports.take() for name in NODES}
        self._node_admins = list(admin.values())
        for name in NODES:
            self._start_application(name, application[name])
        crawler = _CRAWLER.format(intake=intake, admin=self.admin, site=self.site, sticky=sticky)
        self._others.append(self._start_service("crawler", crawler))
        more = self._optional("node.toml")
        for name in NODES:
            node = _NODE.format(
                name=name,
                public=public[name],
                application=application[name],
                admin=admin[name],
                intake=intake,
                sticky=sticky,
                more=more,
            )
            self._companions.append(self._start_service("node", node, name))
        for name in NODES:
            self._wait(f"node {name}", lambda name=name: _status(admin[name], "/readyz") == 200)
        self._wait("the crawler", lambda: _status(self.admin, "/healthz") == 200)
        ports = {**{name.upper(): public[name] for name in NODES}, **{f"{n.upper()}_ADMIN": admin[n] for n in NODES}}
        self._others.append(self._start_script("balancer", "balancer", ports))
        self._wait("the balancer", lambda: _status(self.site, "/_lbc/whoami") == 200)

    def watch(self) -> None:
        """Wait until a signal comes.

        :raises Failed: if a program ends.
        """
        while True:
            self._check()
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop everything; the applications last, because the nodes finish running requests."""
        for programs in ([*self._others, *self._companions], [*self._applications]):
            for program in programs:
                program.terminate()
            until = time.monotonic() + _STOP_SECONDS
            while not all(program.ended for program in programs) and time.monotonic() < until:
                # A node serves on until health checks have noticed that it stops.
                for port in self._node_admins:
                    _status(port, "/readyz")
                time.sleep(0.1)
            for program in programs:
                program.kill()
        self._ports.release()

    def _prepare(self) -> None:
        if (self._example / "prepare").exists():
            program = self._start_script("prepare", "prepare", {})
            self._others.append(program)
            if program.exit_code():
                raise program.failure("failed")
            self._others.remove(program)

    def _start_application(self, name: str, port: int) -> None:
        folder = self._folder / name
        folder.mkdir()
        values = {"FOLDER": folder, "NODE": name, "PORT": port}
        self._applications.append(self._start_script(f"application-{name}", "application", values))

    def _start_script(self, name: str, script: str, values: Mapping[str, object]) -> Program:
        values = {"FARM": self._folder, "SITE_PORT": self.site, "PYTHON": sys.executable, **values}
        environment = {key: str(value) for key, value in values.items()}
        return self._started(name, ["sh", str(self._example / script)], environment)

    def _start_service(self, command: str, config: str, name: str = "") -> Program:
        name = name or command
        file = self._folder / f"{name}.toml"
        file.write_text(config)
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        return self._started(name, companion_command(command, "--config", str(file)), {"PYTHONPATH": path})

    def _started(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        return Program(name, command, self._folder / f"{name}.log", environment)

    def _optional(self, name: str) -> str:
        file = self._example / name
        return "\n" + file.read_text() if file.exists() else ""

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_SECONDS
        while not ready():
            self._check()
            if time.monotonic() > until:
                raise Failed(f"{what} did not get ready within {_READY_SECONDS:g} s; see the logs in {self._folder}")
            time.sleep(0.1)

    def _check(self) -> None:
        for program in (*self._applications, *self._companions, *self._others):
            if program.ended:
                raise program.failure("ended")


def _status(port: int, path: str) -> int:
    """Return the status of a GET on loopback; 0 if there is no answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the block, and ignore them afterwards."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # A shell that starts this in the background ignores SIGINT for it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def main(example: Path) -> int:
    """Run the example in this folder until a signal comes; return the exit code."""
    with tempfile.TemporaryDirectory(prefix=f"lbcompanion-{example.name}-") as name:
        # Servers that give up root's rights have to reach their own files in it.
        Path(name).chmod(0o711)
        farm = Farm(example, Path(name))
        try:
            with _ended_by_signals():
                print(f"Starting {example.name}: two nodes, their companions, a balancer and a crawler ...", flush=True)
                farm.start()
                print(f"the site       http://{LOOPBACK}:{farm.site}/", flush=True)
                print(f"the archive    http://{LOOPBACK}:{farm.admin}/", flush=True)
                print(f"files, logs    {name} (removed at the end)\nCtrl-C ends it.", flush=True)
                farm.watch()
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
        finally:
            farm.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))

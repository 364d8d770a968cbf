"""The interface of a peer: its configuration, start and stop, and how to fetch a copy from it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from http.client import HTTPConnection
from pathlib import Path
from typing import ClassVar

from bench import certificate
from bench.system_info import process_tree
from bench.workload import HOST, Case
from lbcompanion.errors import CompanionError

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
#: Daemons live where an ordinary user's PATH does not look.
_FURTHER = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class PeerFailed(CompanionError):
    """A peer did not start, or did not do what it is measured for."""


def program(name: str) -> str | None:
    """The path of a program, None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_FURTHER)))


class Peer(ABC):
    """One proxy between visitors and application.

    :param folder: its own, empty; configuration and logs go there.
    :param origin_port: where the application listens on loopback.
    :param port: where it is to listen on loopback.
    :param admin_port: another port, for whatever it needs one for.
    :param tls_port: where it is to listen with TLS as well; 0: nowhere.
    :cvar name: as it stands in tables; unique.
    :cvar tagged: whether it captures each page and inserts the tag; False: it only passes pages on.
    :cvar share: of the requests of a round; small for those that take long, so that a run ends in time.
    :cvar takes_streams: False: for whole pages only, no streams and no slow readers.
    :cvar takes_tls: whether it can listen with TLS.
    :cvar takes_closing: whether it is measured with a new connection for each request.
    :cvar takes_workers: whether it can have several workers.
    :ivar workers: how many it has.
    :ivar origin_workers: how many connections the application serves at a time; 0: as many as there are.
    """

    name: ClassVar[str]
    tagged: ClassVar[bool] = True
    share: ClassVar[float] = 1.0
    takes_streams: ClassVar[bool] = True
    takes_tls: ClassVar[bool] = False
    takes_closing: ClassVar[bool] = False
    takes_workers: ClassVar[bool] = False

    def __init__(self, folder: Path, origin_port: int, port: int, admin_port: int, tls_port: int = 0) -> None:
        self.folder = folder
        self.origin_port = origin_port
        self.port = port
        self.admin_port = admin_port
        self.tls_port = tls_port
        self.workers = 1
        self.origin_workers = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Return what is missing on this machine; empty if the peer can run."""

    @classmethod
    def version(cls) -> str:
        """Return its version; empty if unknown."""
        return ""

    @abstractmethod
    def command(self) -> list[str]:
        """Write its configuration; the command that runs it in the foreground."""

    def takes(self, case: Case) -> bool:
        """Whether it is measured with a case as it is set up now."""
        return (
            (self.takes_streams or not case.streamed)
            and (not case.tls or self.tls_port != 0)
            and (case.kept or self.takes_closing)
            and case.workers == self.workers
        )

    def port_for(self, case: Case) -> int:
        """The port to which the visitors of a case connect."""
        return self.tls_port if case.tls else self.port

    def copy(self, token: str) -> bytes:
        """The copy it keeps of a page; only asked of those that capture.

        :raises PeerFailed: where it has none.
        """
        raise PeerFailed(f"{self.name} keeps no copies")

    def get(self, path: str, fields: dict[str, str]) -> bytes:
        """The body of an answer, asked for on a connection of its own.

        :raises PeerFailed: for a status other than 200.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path, headers={"Host": HOST, **fields})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise PeerFailed(f"{self.name} has no copy: {answer.status}")
        return body

    @staticmethod
    def python_command(*arguments: str) -> list[str]:
        """The command that runs Python with this project to be imported, as this very process is."""
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        return ["env", f"PYTHONPATH={path}", sys.executable, "-P", *arguments]

    @property
    def pids(self) -> list[int]:
        """Its processes, whose CPU time is taken together."""
        assert self._process is not None
        return process_tree(self._process.pid)

    def start(self) -> None:
        """Start it and wait until it listens.

        :raises PeerFailed: where it does not; the text has the end of its log.
        """
        self.folder.mkdir(parents=True)
        if self.tls_port:
            certificate.write(self.folder)
        command = self.command()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # Apache ends its whole process group when it is terminated.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise PeerFailed(f"{self.name} did not start:\n{self._last_words()}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self.folder / "output.log"

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-10:])

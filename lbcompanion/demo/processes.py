"""The demo's child processes: started, watched, and stopped by their ids."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from lbcompanion.errors import CompanionError

_STOP_SECONDS = 12.0
_LOG_TAIL_LINES = 12


class ChildProcessFailed(CompanionError):
    """A process of the farm ended, or did not get ready; the text holds the end of its log."""


class Reactor(IReactorProcess, IReactorTime):
    """The reactor interfaces needed here."""


def companion_command(*arguments: str) -> list[str]:
    """Return the command line of ``lbcompanion`` for this Python, installed or not."""
    return [sys.executable, "-P", "-c", "import sys; from lbcompanion.cli import main; sys.exit(main())", *arguments]


class ChildProcess(ProcessProtocol):
    """One process, its output in a file.

    :param name: its name in messages.
    :param command: the program and its arguments.
    :param log: the file that gets its output.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, reactor: Reactor) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._reactor = reactor
        self._stop_waiters: list[Deferred[None]] = []
        self._stopping = False
        self.running = False

    def start(self) -> None:
        """Start it.

        :raises OSError: where the program or the log file cannot be opened.
        """
        with self._log.open("ab") as log, open(os.devnull, "rb") as null_input:
            fds = {0: null_input.fileno(), 1: log.fileno(), 2: log.fileno()}
            self._stopping = False
            self._reactor.spawnProcess(self, self._command[0], self._command, env=self._environment(), childFDs=fds)
            self.running = True

    @staticmethod
    def _environment() -> dict[str, str]:
        """Return this process's environment, with this package on ``PYTHONPATH``."""
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    @property
    def failed(self) -> bool:
        """Whether it ended without being stopped."""
        return not self.running and not self._stopping

    def error(self) -> ChildProcessFailed:
        """Return the exception to raise, with the last lines of the log."""
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:] if self._log.exists() else []
        return ChildProcessFailed(
            "\n  ".join([f"{self.name} did not get ready or ended early; its last words:", *lines])
        )

    def processEnded(self, reason: Failure) -> None:
        """Note that the process has ended."""
        self.running = False
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def stop(self) -> Deferred[None]:
        """Send SIGTERM, and SIGKILL if it still runs after 12 seconds."""
        self._stopping = True
        if not self.running:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stop_waiters.append(stopped)
        self._signal("TERM")
        kill_timer = self._reactor.callLater(_STOP_SECONDS, self._signal, "KILL")

        def cancel_kill(result: None) -> None:
            if kill_timer.active():
                kill_timer.cancel()

        return stopped.addCallback(cancel_kill)

    def _signal(self, name: str) -> None:
        if self.running and self.transport is not None:
            self.transport.signalProcess(name)

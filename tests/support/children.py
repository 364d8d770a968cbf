"""Processes of a test: started with a log file, waited for, stopped by their ids, and reported on failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from lbcompanion.demo.processes import companion_command
from lbcompanion.testing.stopped_processes import stop_processes
from tests.support import failure_report, preloaded

_ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 60
_LOG_TAIL_BYTES = 3000

_T = TypeVar("_T")


class Child:
    """One process.

    :ivar log: the file that has what it said, over all its lives.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._arguments = preloaded.arguments_of(command, environment)
        self._environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1", **environment}
        self._process: subprocess.Popen[bytes] | preloaded.PreloadedProcess | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = self._started(log)
        failure_report.add(self)

    def _started(self, log: BinaryIO) -> subprocess.Popen[bytes] | preloaded.PreloadedProcess:
        if self._arguments is not None:
            return preloaded.PreloadedProcess(self._arguments, log.fileno(), self._environment, _ROOT)
        # A session of its own, so that a balancer's workers can be ended with their master.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self._environment,
            cwd=_ROOT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, how: signal.Signals) -> None:
        """Send a signal, where it runs; after SIGSTOP it has stopped."""
        if self._process is None or self._process.poll() is not None:
            return
        if how is signal.SIGSTOP:
            stop_processes([self._process.pid])
        else:
            self._process.send_signal(how)

    def kill(self) -> None:
        """End it, and what it started itself."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not end within {_STOP_SECONDS} s") from None

    def died(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def last_words(self) -> str:
        log_tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace") if self.log.exists() else ""
        end = "" if self._process is None or self._process.poll() is None else f", ended by {self._process.poll()}"
        return f"---- {self.name}{end} ----\n{log_tail}"


class Children:
    """All processes of one farm.

    :param folder: gets their output.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        return self._all[name]

    def start(self, name: str, command: Sequence[str], **environment: str) -> Child:
        child = self._all[name] = Child(name, command, self._folder / f"{name}.log", environment)
        child.start()
        return child

    def module(self, name: str, module: str, *arguments: str, **environment: str) -> Child:
        """Start a module of these tests, or of a library, with this very Python."""
        return self.start(name, [sys.executable, "-m", module, *arguments], **environment)

    def lbcompanion(self, name: str, *arguments: str, plugins: Path | None = None) -> Child:
        """Start the project's own command.

        :param plugins: a folder with drop-ins from outside.
        """
        path = {} if plugins is None else {"PYTHONPATH": f"{_ROOT}{os.pathsep}{plugins}"}
        return self.start(name, companion_command(*arguments), **path)

    def kill(self) -> None:
        """End all, without the time that a companion takes to leave in good order."""
        for child in self._all.values():
            child.kill()
        for child in self._all.values():
            child.ended()

    def last_words(self) -> str:
        """Return the last lines of all logs."""
        return "\n".join(child.last_words() for child in self._all.values())


def wait_for(
    what: str, condition: Callable[[], _T | None], seconds: float = 60.0, *watched: Child, pause: float = 0.05
) -> _T:
    """Check the condition until it holds. The limit is generous: other tests use the same two cores.

    :param watched: must live on meanwhile.
    :param pause: seconds between two checks; longer for a check that costs CPU.
    """
    until = time.monotonic() + seconds
    while not (seen := condition()):
        for child in watched:
            assert not child.died(), f"{child.name} ended\n{child.last_words()}"
        assert time.monotonic() < until, f"{what}: not within {seconds:g} s"
        time.sleep(pause)
    return seen

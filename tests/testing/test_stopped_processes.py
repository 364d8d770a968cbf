"""Processes have stopped with all their threads once ``stop_processes`` returns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbcompanion.testing import stopped_processes
from lbcompanion.testing.stopped_processes import stop_processes

pytestmark = pytest.mark.network

_BUSY = """
import sys, threading
def work():
    while True:
        sum(range(1000))
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process with many threads that work."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def states(pid: int) -> list[str]:
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(") ")[2][0] for stat in stats]


def test_all_threads_have_stopped(busy: subprocess.Popen[bytes]) -> None:
    for _ in range(20):
        stop_processes([busy.pid])
        assert states(busy.pid) == ["T"] * 9
        os.kill(busy.pid, signal.SIGCONT)


def test_a_process_that_has_ended_is_not_waited_for(busy: subprocess.Popen[bytes]) -> None:
    busy.kill()
    stop_processes([busy.pid], 5.0)
    busy.wait()
    stop_processes([busy.pid], 0.0)


def test_one_that_does_not_stop_is_reported(busy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopped_processes.os, "kill", lambda _pid, _signal: None)
    with pytest.raises(TimeoutError, match=rf"not stopped within 0.01 s: \d+ of {busy.pid} \([RS]\)"):
        stop_processes([busy.pid], 0.01)

"""Stops processes by SIGSTOP, and waits until they have stopped.

``kill`` returns before that: a thread stops when it runs the next time, and the main thread of a busy server may have
to wait for its turn. Meanwhile the other threads answer requests.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

#: How long processes may take to stop.
STOP_SECONDS = 30.0
#: Stopped, stopped by a tracer, or ended.
_STOPPED = frozenset("TtZXx")


def stop_processes(pids: Iterable[int], seconds: float = STOP_SECONDS) -> None:
    """Send SIGSTOP to processes, and return once each thread of them has stopped or ended.

    :param seconds: how long that may take.
    :raises TimeoutError: if a thread still runs after that.
    """
    stopping = tuple(pids)
    for pid in stopping:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    while running := [each for pid in stopping for each in _running_threads(pid)]:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not stopped within {seconds:g} s: {', '.join(running)}")
        time.sleep(0.002)


def _running_threads(pid: int) -> Iterator[str]:
    """Yield each thread that has not stopped, with its state."""
    try:
        threads = [each.name for each in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for thread in threads:
        try:
            stat = Path(f"/proc/{pid}/task/{thread}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state = stat.rpartition(b") ")[2][:1].decode()  # the name before it may contain anything
        if state not in _STOPPED:
            yield f"{thread} of {pid} ({state})"

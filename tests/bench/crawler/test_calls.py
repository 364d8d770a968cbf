"""The counter sees the syncs and the connections that a process makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.crawler.calls import CallCounter, Calls, build

pytestmark = pytest.mark.programs

_SCRIPT = """
import os, socket, sqlite3, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
for _ in range(3):
    os.fsync(file)
os.fdatasync(file)
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
"""


def test_it_counts(tmp_path: Path) -> None:
    counter = CallCounter(build(tmp_path), tmp_path / "calls")
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path / "file")]
    subprocess.run(command, env={**os.environ, **counter.environment}, check=True, timeout=30)
    assert counter.read() == Calls(4, 1)
    assert counter.read().since(Calls(1, 1)) == Calls(3, 0)

"""Pages are read right by the distribution's Python too, whose regular expressions may have faults of an older version.

The other tests run with one Python, which is newer on many machines.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.programs import need_program

pytestmark = [pytest.mark.slow, pytest.mark.programs]

_ROOT = Path(__file__).resolve().parents[1]
_TESTS = ("tests/html", "tests/http1", "tests/sticky", "tests/protocol", "tests/crawler/replay", "tests/node/capture")
_QUICK = "not slow and not programs and not browser and not network"


def test_pages_are_read_right() -> None:
    python = need_program("distribution-python")
    folders = (str(_ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))},
        "PYTHONPATH": os.pathsep.join(folders),
        "LBC_HYPOTHESIS": "fast",
    }
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", _QUICK, *_TESTS]
    ended = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert "passed" in ended.stdout, sys.version

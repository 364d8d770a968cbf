"""Freed memory stays with the process for a while."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.network

# The high-water mark of a large allocation that was given back: glibc without the setting unmaps it.
_PROGRAM = """
from lbcompanion.malloc_tuning import raise_malloc_thresholds
def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096
kept = raise_malloc_thresholds() if {kept} else False
data = bytearray(8 << 20)
del data
print(kept, resident())
"""


def _run(kept: bool) -> tuple[bool, int]:
    out = subprocess.run([sys.executable, "-c", _PROGRAM.format(kept=kept)], capture_output=True, text=True, check=True)
    accepted, resident = out.stdout.split()
    return accepted == "True", int(resident)


def test_freed_memory_stays() -> None:
    took, kept = _run(True)
    _, given_back = _run(False)
    assert took
    assert kept - given_back > 4 << 20


# Every second piece is freed, so that the end of the heap stays in use.
_PIECES = """
from lbcompanion.malloc_tuning import raise_malloc_thresholds, return_freed_memory
def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096
raise_malloc_thresholds()
pieces = [b"x" * (60000 + number) for number in range(1000)]
del pieces[::2]
before = resident()
print(return_freed_memory(), before - resident())
"""


def test_memory_between_live_objects_is_returned() -> None:
    out = subprocess.run([sys.executable, "-c", _PIECES], capture_output=True, text=True, check=True).stdout.split()
    assert out[0] == "True"
    assert int(out[1]) > 20 << 20

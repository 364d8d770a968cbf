"""The simulation runs, its figures add up, and routing keeps what it promises in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.simulated import KINDS, Plan, Simulation

pytestmark = [pytest.mark.slow, pytest.mark.network]

ROOT = Path(__file__).parents[2]
SMALL = {"nodes": 20, "visits": 500, "seconds": 1800.0, "restarts": 200.0, "outages": 200.0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_farm_with_much_trouble(kind: str) -> None:
    figures = Simulation(Plan(kind, **SMALL)).run()
    assert figures.visits == 500
    assert figures.notices == figures.visits - figures.unseen - figures.untold
    assert figures.notices == figures.archived + figures.lost.total()
    assert figures.restarts > 10 < figures.outages
    assert figures.moved == 0
    assert set(figures.lost) <= {"unknown at its owner", "expired"}
    assert figures.archived > 0.98 * figures.notices
    assert figures.warm_at_first > 0.95 * figures.warm


def test_the_command_prints_what_was_run() -> None:
    command = [sys.executable, "-m", "bench.simulate", "--nodes", "20", "--visits", "2000"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [one["plan"]["kind"] for one in report] == list(KINDS)
    assert all(one["plan"]["nodes"] == 20 and one["figures"]["visits"] == 500 for one in report)

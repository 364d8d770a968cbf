"""The bench runs, judges what it measures, and names no figure of a run that went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from bench.machine import Cpu, Disturbance, family
from bench.peers import PEERS, REFERENCE
from bench.report import figures, show
from bench.rounds import Samples

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def small(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    few = ("--rounds", "1", "--requests", "40", "--connections", "4", "--no-micro", "--json")
    return bench(*few, "--results", str(folder), *more)


def test_a_small_run_of_the_companion(tmp_path: Path) -> None:
    done = small(tmp_path, "--peer", "lbcompanion")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {*told["figures"]} == {"identity", "gzip"}
    assert told["figures"]["identity"]["lbcompanion"]["cpu_us"]["median"] > 0
    assert [json.loads(one.read_text()) for one in tmp_path.iterdir()] == [told]


def test_a_small_run_of_nginx(tmp_path: Path, need_program) -> None:
    need_program("nginx")
    done = small(tmp_path, "--peer", "nginx")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {*told["figures"]["identity"]} | {*told["left_out"]} == {peer.name for peer in PEERS if "nginx" in peer.name}


def test_peers_have_names_of_their_own() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)
    assert REFERENCE in names


def test_cpu_time_is_seen() -> None:
    before = Cpu.of([os.getpid()])
    assert sum(range(2000000))
    used = Cpu.of([os.getpid()]).since(before)
    assert 0 < used.total < 10
    assert os.getpid() in family(os.getpid())


def test_ratios_are_taken_round_by_round() -> None:
    def samples(*cpu: float) -> Samples:
        nothing = [0.0] * len(cpu)
        return Samples(list(cpu), nothing, nothing, nothing, nothing)

    told = figures({"ours": samples(20, 60, 40), REFERENCE: samples(10, 30, 40)}, REFERENCE)
    assert told["ours"]["cpu_us"] == {"median": 40, "min": 20, "max": 60}
    assert told["ours"]["cpu_ratio"] == {"median": 2, "min": 1, "max": 2}
    assert "cpu_ratio" not in figures({"ours": samples(1)}, REFERENCE)["ours"]


def test_what_was_left_out_and_what_disturbed_is_said() -> None:
    out = StringIO()
    told = Disturbance().told(0.0)
    how = {"rounds": 1, "requests": 1, "connections": 1, "reference": REFERENCE}
    result = {
        "figures": {},
        "how": how,
        "left_out": {"a peer": "the program it needs"},
        "disturbance": {**told, "steal_percent": 9.0},
        "machine": {"cores": 2, "processor": "one", "kernel": "6"},
        "python": "3",
    }
    show(Console(file=out, width=200), result)
    assert "LEFT OUT: a peer: the program it needs is not here" in out.getvalue()
    assert "DISTURBED" in out.getvalue()

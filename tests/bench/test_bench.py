"""The bench runs, judges what it measures, and names no figure of a run that went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.__main__ import chosen_cases
from bench.peers import PEERS, QUICK, REFERENCE, STREAM_REFERENCE
from bench.report import figures, show
from bench.schedule import Samples
from bench.system_info import Cpu, Disturbance, descriptors, process_tree, python, resident_megabytes
from bench.targets import COMPANION, FLOOR, NGINX
from bench.workload import GROUPS

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
CASES = ("page-10k", "page-10k-gzip", "excluded-10k", "1m-chunked")


def small(folder: Path, *more: str, keys: tuple[str, ...] = CASES) -> subprocess.CompletedProcess[str]:
    few = ("--rounds", "1", "--scale", "0.02", "--waits", "20", "--slow-seconds", "0.5", "--fill", "100", "--json")
    cases = [word for key in keys for word in ("--case", key)]
    command = [sys.executable, "-m", "bench", *few, *cases, "--results", str(folder), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def runs(folder: Path, name: str) -> None:
    done = small(folder, "--peer", name)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {*report["figures"]} == {*CASES}
    measured = {*report["figures"]["page-10k"]}
    assert measured
    assert measured | {*report["left_out"]} == {peer.name for peer in PEERS if name in peer.name}
    assert {*report["figures_full"]} == {"page-10k", "page-10k-gzip"}
    for peer in measured:
        assert report["figures_full"]["page-10k"][peer]["cpu_us"]["median"] > 0
        assert (peer in report["figures"]["1m-chunked"]) == (peer != FLOOR)
        assert report["figures"][CASES[0]][peer]["cpu_us"]["median"] > 0
        assert "added_p99_us" in report["figures"]["page-10k"][peer]
        assert peer == FLOOR or report["memory"][peer]["before_mb"] > 0
        assert (peer in report["memory"]) == (peer != FLOOR)
    assert json.loads(next(folder.glob("*.json")).read_text()) == report


def test_a_small_run_of_the_companion(tmp_path: Path) -> None:
    runs(tmp_path, "lbcompanion")


@pytest.mark.parametrize("name", ["aiohttp", "twisted"])
def test_a_small_run_of_other_python(tmp_path: Path, name: str) -> None:
    runs(tmp_path, name)


def test_a_small_run_of_the_floor(tmp_path: Path) -> None:
    runs(tmp_path, "floor")


@pytest.mark.parametrize("name", ["nginx", "HAProxy"])
def test_a_small_run_of_its_peers(tmp_path: Path, name: str, need_program) -> None:
    need_program(name.lower())
    runs(tmp_path, name)


def runs_otherwise_connected(folder: Path, name: str) -> dict[str, set[str]]:
    """The peers that were measured, by case."""
    keys = ("page-10k-tls", "page-10k-tls-close", "page-10k-close", "asset-10k-close", "page-10k-workers")
    done = small(folder, "--peer", name, "--slow-seconds", "0", keys=keys)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert all(one["cpu_us"]["median"] > 0 for by_peer in figures.values() for one in by_peer.values())
    return {case: {*by_peer} for case, by_peer in figures.items()}


def test_the_companion_is_measured_with_tls_new_connections_and_two_workers(tmp_path: Path) -> None:
    measured = runs_otherwise_connected(tmp_path, COMPANION)
    assert all(COMPANION in names for names in measured.values())


def test_nginx_is_measured_with_tls_new_connections_and_two_workers(tmp_path: Path, need_program) -> None:
    need_program("nginx")
    assert all(measured >= {NGINX} for measured in runs_otherwise_connected(tmp_path, "nginx").values())


def test_the_floor_is_measured_with_new_connections(tmp_path: Path) -> None:
    measured = runs_otherwise_connected(tmp_path, "floor")
    assert {case for case, names in measured.items() if names} == {"page-10k-close", "asset-10k-close"}


def test_a_quick_run_has_the_usual_cases_only() -> None:
    assert [case.key for case in chosen_cases((), quick=True) if not case.usual] == []
    assert {case.group for case in chosen_cases((), quick=False)} == {*GROUPS}
    assert [case.key for case in chosen_cases(("page-10k-tls",), quick=True)] == ["page-10k-tls"]


def test_peers_have_names_of_their_own() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)
    assert {REFERENCE, STREAM_REFERENCE} < {peer.name for peer in QUICK} < {*names}


def test_cpu_time_memory_and_descriptors_are_seen() -> None:
    us = [os.getpid()]
    before = Cpu.of(us)
    assert sum(range(2000000))
    used = Cpu.of(us).since(before)
    assert 0 < used.total < 10
    assert os.getpid() in process_tree(os.getpid())
    held = b"\1" * (64 << 20)
    grown = resident_megabytes(us)
    del held
    assert grown - resident_megabytes(us) > 50
    open_now = descriptors(us)
    with (ROOT / "Makefile").open():
        assert descriptors(us) == open_now + 1


def test_which_python_is_reported() -> None:
    assert sys.version.split()[0] in python()
    assert "took" in python()


def test_ratios_are_taken_round_by_round() -> None:
    def samples(*cpu: float) -> Samples:
        nothing = [0.0] * len(cpu)
        return Samples(list(cpu), nothing, nothing)

    report = figures({"ours": samples(20, 60, 40), REFERENCE: samples(10, 30, 40)}, REFERENCE)
    assert report["ours"]["cpu_us"] == {"median": 40, "min": 20, "max": 60, "rounds": [20, 60, 40]}
    assert report["ours"]["cpu_ratio"] == {"median": 2, "min": 1, "max": 2, "rounds": [2, 2, 1]}
    assert "cpu_ratio" not in figures({"ours": samples(1)}, REFERENCE)["ours"]
    assert "added_p50_us" not in report["ours"]


def test_what_was_left_out_and_what_disturbed_is_said() -> None:
    out = StringIO()
    result = {
        "figures": {},
        "memory": {},
        "how": {"rounds": 1, "sip_seconds": 0},
        "left_out": {"a peer": "the program it needs"},
        "versions": {"another": "1.2.3"},
        "disturbance": {**Disturbance().since_start(0.0), "steal_percent": 9.0},
        "machine": {"cores": 2, "processor": "one", "kernel": "6"},
        "python": "CPython 3",
    }
    show(Console(file=out, width=200), result)
    assert "LEFT OUT: a peer: the program it needs is not here" in out.getvalue()
    assert "DISTURBED" in out.getvalue()


@pytest.mark.parametrize("how", ["sampled", "calls"])
def test_a_profile_names_the_companions_functions(how: str) -> None:
    command = [sys.executable, "-m", "bench", "--profile", how, "--scale", "0.05", "--case", "page-10k"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "lbcompanion/" in done.stdout

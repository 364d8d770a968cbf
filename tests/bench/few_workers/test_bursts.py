"""Ratios and verdicts of bursts follow from the figures; the companion serves every burst."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.few_workers import bursts, fronts, report
from bench.few_workers.applications import GunicornSync
from bench.manual import rst
from tests.support import bench_results
from tests.support.programs import leave_out


def figures(**seconds: float) -> dict[str, dict[str, Any]]:
    return {
        getattr(fronts, name).name: {
            "seconds": value,
            "seconds_min": value,
            "seconds_max": value,
            "worst": value,
            "errors": {},
        }
        for name, value in seconds.items()
    }


def test_ratios_are_against_the_best_other_proxy_without_errors() -> None:
    by_front = figures(Direct=0.1, Companion=0.3, HAProxy=0.1, HAProxyWithCap=0.2, NginxPlain=6.0)
    by_front[fronts.HAProxy.name]["errors"] = {"503": 1}
    told = bursts.with_ratios(by_front)
    assert {name: one["ratio"] for name, one in told.items()} == {
        fronts.Direct.name: 0.5,
        fronts.Companion.name: 1.5,
        fronts.HAProxy.name: 0.5,
        fronts.HAProxyWithCap.name: 1.0,
        fronts.NginxPlain.name: 30.0,
    }
    assert bursts.with_ratios(figures(Companion=1.0))[fronts.Companion.name]["ratio"] is None


def result(**seconds: float) -> dict[str, Any]:
    return {"figures": {"an application": {"a burst": bursts.with_ratios(figures(**seconds))}}, "left_out": {}}


def test_a_verdict_needs_the_ratio_and_no_errors() -> None:
    judged = bursts.verdicts(result(Companion=0.31, CompanionWithCap=0.3, HAProxy=0.2))
    assert [one.holds for one in judged] == [False, True]
    failing = result(Companion=0.2, CompanionWithCap=0.2, HAProxy=0.2)
    failing["figures"]["an application"]["a burst"][fronts.Companion.name]["errors"] = {"503": 2}
    assert [one.holds for one in bursts.verdicts(failing)] == [False, True]
    assert [one.holds for one in bursts.verdicts(result(Direct=1.0))] == [None, None]


def test_tables_have_every_front() -> None:
    out = StringIO()
    told = result(Companion=0.3, HAProxy=0.2)
    report.show(Console(file=out, width=200), {**told, "left_out": {"nginx": "the program nginx"}})
    assert "1.50" in out.getvalue()
    assert "LEFT OUT: nginx: the program nginx is not here" in out.getvalue()
    manual = rst({**bench_results.result(1.0), **_RUN, "few_workers": told})
    assert "An application: a burst" in manual
    assert "   * - HAProxy, plain proxying\n     - 0.20 (0.20..0.20)\n     - 1.00\n" in manual


_RUN = {
    "verdicts": [],
    "memory": {},
    "figures": {},
    "versions": {},
    "disturbance": {"others_percent": 3.0, "steal_percent": 0.0},
    "machine": {"cores": 2, "processor": "one", "kernel": "6"},
}


@pytest.mark.slow
@pytest.mark.programs
def test_the_companion_serves_every_burst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Gunicorn; e2e/test_few_workers.py does it with Apache, whose PHP only the benchmark needs."""
    application = GunicornSync
    if lacking := application.missing():
        leave_out(lacking)
    monkeypatch.setattr(bursts, "APPLICATIONS", (application,))
    monkeypatch.setattr(fronts, "FRONTS", (fronts.Companion, fronts.CompanionWithCap))
    # A busy machine takes longer; no test asserts wall time.
    monkeypatch.setattr(bursts, "BURST_SECONDS", 60.0)
    told = bursts.measure(tmp_path, 1, lambda text: None)
    by_burst = told["figures"][application.name]
    assert {*by_burst} == {*bursts.BURSTS}
    assert all(not one["errors"] for by_front in by_burst.values() for one in by_front.values())

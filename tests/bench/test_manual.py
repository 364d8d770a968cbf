"""The tables in the manual show the measured figures, and their rows have the same length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.manual import rst, rst_of_other_connections
from bench.targets import COMPANION
from tests.support.bench_results import result

ROOT = Path(__file__).parents[2]


def whole() -> dict[str, object]:
    about = {"machine": {"cores": 2, "processor": "one", "kernel": "6"}, "versions": {"nginx": "1.2"}}
    report = {**result(2.0, 300.0), **about, "verdicts": [{"wanted": "less", "found": "more", "holds": False}]}
    report["disturbance"] = {"others_percent": 3.0, "steal_percent": 0.5}
    for one in report["figures"]["page-10k"].values():  # type: ignore[index]
        one["added_p50_us"] = one["added_p99_us"] = {"median": 7.0, "min": 1.0, "max": 9.0}
    return report


def test_the_page_has_all_figures() -> None:
    text = rst(whole())
    for said in (
        "3 March 2025",
        "nginx 1.2",
        "3.0 %",
        "5 (1.50 x)",
        "- peer <1>",
        "+7, +7",
        "5.0, then stopped",
        "**no**",
    ):
        assert said in text
    assert f"* - {COMPANION}" in text


def test_every_row_of_a_table_is_of_one_length() -> None:
    for table in rst(whole()).split(".. list-table::")[1:]:
        rows = table.partition("\n\n")[2].split("   * -")[1:]
        assert len({row.count("\n     -") for row in rows}) == 1


def test_other_connections_are_ratios_on_their_own() -> None:
    report = whole()
    report["figures"]["page-10k-tls"] = {COMPANION: {"cpu_us": {}, "cpu_ratio": {"median": 1.25, "min": 1, "max": 2}}}  # type: ignore[index]
    text = rst_of_other_connections(report)
    assert "Over TLS: CPU time beside" in text
    assert "- 1.25; 1.00 to 2.00" in text
    assert "1.50" not in text
    assert "1.25" not in rst(report)


@pytest.mark.network
def test_both_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(whole()))
    command = [sys.executable, "-m", "bench.manual", str(tmp_path / "a.json"), "--docs", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert {one.name for one in tmp_path.iterdir()} == {"a.json", "measuring-figures.inc", "measuring-figures.svg"}

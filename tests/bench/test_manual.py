"""The tables in the manual show the measured figures, and their rows have the same length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.manual import rst
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


@pytest.mark.network
def test_both_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(whole()))
    command = [sys.executable, "-m", "bench.manual", str(tmp_path / "a.json"), "--docs", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert {one.name for one in tmp_path.iterdir()} == {"a.json", "measuring-figures.inc", "measuring-figures.svg"}

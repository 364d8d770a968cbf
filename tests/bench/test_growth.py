"""What grows: the lists of rules are valid and match nothing, tables and pictures show the figures, small runs work."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.growth import connections, copies, report, rules
from bench.growth.curves import svg
from bench.growth.setting import Effort, Values, add, descriptors_for, setting
from bench.workload import CASES, PAGE
from lbcompanion.html.masks import Masks
from lbcompanion.http1.path_patterns import PathPatterns, is_matchable

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
SMALL = Effort(rounds=1, connections=(4,), copies=(40, 80), rules=(5,), requests=40, seconds=0.1, settle=0.05)


def spread(middle: float) -> dict[str, Any]:
    return {"median": middle, "min": middle / 2, "max": middle * 2, "rounds": [middle]}


def result(**parts: Any) -> dict[str, Any]:
    return {
        "when": "2026-11-05T10:00:00Z",
        "python": "CPython 3 & others (fast)",
        "machine": {"cores": 2, "processor": "one", "kernel": "6.1"},
        "load": [0.5, 1.5],
        "rounds": 3,
        "parts": parts,
        "left_out": ["9000 idle connections: why"],
    }


COPIES = {
    "Memory for a copy, KB": {"memory, 2 KB": {"10": spread(3.25), "1000": spread(30)}, "other": {"10": spread(0.5)}}
}


def test_the_rules_are_valid_and_match_no_page() -> None:
    patterns = rules.path_patterns(1000)
    assert len({*patterns}) == len({*rules.selectors(1000)}) == len({*rules.field_names(1000)}) == 1000
    assert all(map(is_matchable, patterns))
    paths = [CASES["page-10k"].path.encode(), b"/tools/item-17"]
    assert not any(PathPatterns(patterns).excludes(path) for path in paths)
    assert all(PathPatterns(rules.LISTS["include"].last).includes(path) for path in paths)
    assert Masks(rules.selectors(1000)).candidates(PAGE.lower()) == []
    assert len({*rules.address_blocks(1000)}) == 1000


def test_figures_are_medians_of_rounds() -> None:
    values: Values = {}
    for value in (3.0, 9.0, 4.0):
        add(values, "figure", "series", 10, value)
    found = report.figures(values)["figure"]["series"]["10"]
    assert found == {"median": 4, "min": 3, "max": 9, "rounds": [3, 9, 4]}


def test_the_tables_have_all_figures() -> None:
    text = report.rst(result(copies=COPIES), "copies")
    for said in (
        "5 November 2026: 2 cores",
        "load average\n0.5 before",
        "3.2 (1.6 to 6.5)",
        "30 (15 to 60)",
        "- 1,000 copies",
    ):
        assert said.replace("\n", " ") in " ".join(text.split())
    assert "     - -\n" in text


def test_the_picture_has_a_line_for_each_series_which_rises_with_its_figures() -> None:
    root = ElementTree.fromstring(report.picture(result(copies=COPIES), "copies"))
    assert len([*root.iter(f"{SVG}polyline")]) == 2
    heights = [float(one.attrib["cy"]) for one in root.iter(f"{SVG}circle")]
    assert heights[1] < heights[0] < heights[2]
    texts = {one.text for one in root.iter(f"{SVG}text")}
    assert {"memory, 2 KB", "other", "10 copies", "1,000 copies", "Memory for a copy, KB"} <= texts
    assert any("CPython 3 & others" in (text or "") for text in texts)


def test_nothing_measured_is_an_empty_picture() -> None:
    for figures in ({}, {"figure": {}}, {"figure": {"series": {"1": spread(0.0)}}}):
        ElementTree.fromstring(svg("title", "about", "things", figures))


def test_the_numbers_grow_by_about_ten() -> None:
    for numbers in (Effort().connections, Effort().copies, Effort().rules):
        assert all(5 <= more / fewer <= 100 for fewer, more in pairwise(numbers))


def test_too_many_connections_are_left_out() -> None:
    assert descriptors_for(10)
    assert not descriptors_for(10**12)


def test_the_manual_shows_what_was_measured() -> None:
    for part in report.PARTS:
        assert "Medians of" in (ROOT / "docs" / f"growth-{part}.inc").read_text()
        ElementTree.parse(ROOT / "docs" / f"growth-{part}.svg")
        assert f"growth-{part}.svg" in (ROOT / "docs" / "growth.rst").read_text()


@pytest.mark.slow
@pytest.mark.programs
def test_small_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LISTS", {name: rules.LISTS[name] for name in ("include", "exclude", "trusted_proxies")})
    said: list[str] = []
    with setting(tmp_path, said.append) as scene:
        values, left_out = connections.measure(scene, SMALL)
        assert left_out == []
        assert {name: {*numbers} for name, numbers in values[connections.PAGE].items()} == {
            "without TLS": {0, 4},
            "with TLS": {0, 4},
        }
        assert values[connections.IDLE]["with TLS"][4][0] >= 0
        found = copies.measure(scene, SMALL)
        assert {*found[copies.MEMORY]} == {"memory, 2 KB", "memory, 10 KB", "SQLite, 2 KB", "SQLite, 10 KB"}
        assert {*found[copies.DISK]} == {"SQLite, 2 KB", "SQLite, 10 KB"}
        assert all(value > 0 for series in found[copies.FETCH].values() for one in series.values() for value in one)
        grown = rules.measure(scene, SMALL)
        assert {*grown[rules.NUMBERED]["include"]} == {0, 5}
    assert said


@pytest.mark.network
@pytest.mark.programs
def test_the_command_tells_its_options() -> None:
    command = [sys.executable, "-m", "bench.growth", "--help"]
    assert "--write" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_result_survives_json() -> None:
    read = json.loads(json.dumps(result(copies=COPIES)))
    assert report.rst(read, "copies") == report.rst(result(copies=COPIES), "copies")

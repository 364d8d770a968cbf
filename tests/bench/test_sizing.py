"""The page on sizing has every figure that is measured, and names metrics that exist."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from bench.load import Load
from bench.schedule import Origin
from bench.sizing import FILE, WORDS, Node, idle, proportional_megabytes, rows, rst, visits
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
RESULT: dict[str, Any] = {
    "figures": dict.fromkeys(WORDS, 12.34),
    "when": "2026-11-05",
    "machine": {"cores": 2, "processor": "one", "kernel": "6.1"},
    "python": "CPython 3.11",
    "load": 0.5,
}


def test_the_page_has_every_figure_and_its_date() -> None:
    text = FILE.read_text()
    assert re.findall(r"(?m)^   \* - (.*)$", text) == [words for words, _ in rows(RESULT["figures"])]
    assert re.match(r"\d\d \w+ 20\d\d: \d+ cores, ", text)


def test_the_table_is_of_the_result() -> None:
    text = rst(RESULT)
    assert "05 November 2026: 2 cores, one, Linux 6.1" in text
    assert "load average 0.5" in text
    assert text.count("12") >= len(WORDS)


def test_memory_of_this_process() -> None:
    assert 1 < proportional_megabytes([os.getpid()]) < 4096


def test_the_metrics_to_look_at_exist() -> None:
    named = re.findall(r"\*Look\* at\s+``(\w+)``", (ROOT / "docs" / "sizing.rst").read_text())
    assert len(named) > 2
    known = re.findall(r"(?m)^``(\w+)", (ROOT / "docs" / "reference-metrics.rst").read_text())
    assert [name for name in named if name not in known] == []


@pytest.mark.slow
@pytest.mark.programs
def test_one_companion_is_measured(tmp_path: Path) -> None:
    with Origin() as origin, Load() as load:
        node = Node(tmp_path / "n1", origin.port, free_port(), free_port())
        node.start()
        try:
            microseconds, kilobytes = visits(node, load, "page-10k", 300)
            assert 10 < microseconds < 100_000
            assert kilobytes > 1
            assert idle(node, 50) < 1000
        finally:
            node.stop()

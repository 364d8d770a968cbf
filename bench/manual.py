"""Puts a run's figures into the manual: ``python -m bench.manual bench/results/....json``.

Writes ``docs/measuring-figures.inc``, which ``docs/measuring.rst`` includes, and ``docs/measuring-figures.svg``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from bench.few_workers import report as burst_report
from bench.plot import svg
from bench.targets import COMPANION
from bench.workload import CASES

_DOCS = Path(__file__).resolve().parents[1] / "docs"
_NAME = "measuring-figures"


def rst(result: dict[str, Any]) -> str:
    """The figures as reStructuredText: tables, and what was found of the figures to reach."""
    when = datetime.fromisoformat(result["when"])
    report, machine = result["disturbance"], result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    lines = textwrap.wrap(
        f"{when.day} {when:%B %Y}: {machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']};"
        f" {result['python']}; {versions}. Medians of {result['how']['rounds']} rounds (least to most); of all CPU time"
        f" others used {report['others_percent']} %, {report['steal_percent']} % was stolen.",
        120,
    )
    lines.append("")
    for group, unit in (("captured", "each"), ("uncaptured", "each"), ("streamed", "each MB")):
        keys = [key for key in result["figures"] if CASES[key].group == group]
        if keys:
            lines += _cpu(f"{group}: CPU microseconds, {unit} (ratio)", keys, result["figures"])
    if full := result.get("figures_full"):
        lines += _cpu("captured, stores full: CPU microseconds, each (ratio)", [*full], full)
    lines += _waits(result["figures"])
    if result["memory"]:
        lines += _table("20 slow readers of 64 MB", ["", "growth, MB"], _growths(result["memory"]))
    if starved := result.get("few_workers"):
        for title, rows in burst_report.tables(starved):
            lines += _table(title, [*burst_report.HEADINGS], rows)
    found = [
        [verdict["wanted"], verdict["found"], {True: "yes", False: "**no**", None: "not measured"}[verdict["holds"]]]
        for verdict in result["verdicts"]
    ]
    lines += _table("figures to reach", ["", "found", "holds"], found)
    return "\n".join(lines)


def _growths(memory: dict[str, dict[str, Any]]) -> Iterable[list[str]]:
    for name, one in memory.items():
        yield [name, f"{one['growth_mb']:.1f}" + (", then stopped" if one["stopped"] else "")]


def _names(figures: dict[str, dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for by_peer in figures.values() for name in by_peer))


def _cpu(title: str, keys: list[str], figures: dict[str, dict[str, Any]]) -> list[str]:
    rows = []
    for name in _names(figures):
        row = [name]
        for key in keys:
            one = figures[key].get(name)
            ratio = f" ({one['cpu_ratio']['median']:.2f} x)" if one and "cpu_ratio" in one else ""
            spread = f" {one['cpu_us']['min']:.0f} to {one['cpu_us']['max']:.0f}" if one and name == COMPANION else ""
            row.append(f"{one['cpu_us']['median']:.0f}{ratio}{spread and ';' + spread}" if one else "-")
        rows.append(row)
    return _table(title, ["", *(CASES[key].title for key in keys)], rows)


def _waits(figures: dict[str, dict[str, Any]]) -> list[str]:
    keys = [key for key, by_peer in figures.items() if any("added_p50_us" in one for one in by_peer.values())]
    if not keys:
        return []
    rows = []
    for name in _names(figures):
        row = [name]
        for key in keys:
            one = figures[key][name]
            row.append(f"{one['added_p50_us']['median']:+.0f}, {one['added_p99_us']['median']:+.0f}")
        rows.append(row)
    return _table("wait added for one visitor, microseconds: p50, p99", ["", *(CASES[key].title for key in keys)], rows)


def _table(title: str, headings: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [f".. list-table:: {title[0].upper()}{title[1:]}", "   :header-rows: 1", ""]
    for row in (headings, *rows):
        lines += [f"   {'* -' if not at else '  -'} {cell}".rstrip() for at, cell in enumerate(row)]
    return [*lines, ""]


@click.command()
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--docs", default=_DOCS, type=click.Path(file_okay=False, path_type=Path), help="the manual's folder")
def main(result: Path, docs: Path) -> None:
    """Put the figures of a run into the manual."""
    read = json.loads(result.read_text())
    (docs / f"{_NAME}.inc").write_text(rst(read))
    (docs / f"{_NAME}.svg").write_text(svg(read))


if __name__ == "__main__":
    main()

"""Puts a run's figures into the manual: ``python -m bench.manual bench/results/....json``.

Writes ``docs/measuring-figures.inc``, which ``docs/measuring.rst`` includes, and ``docs/measuring-figures.svg``; and
``docs/measuring-connections.inc`` with TLS, new connections and several workers, as ratios. A run without the cases of
one of them leaves it as it is.
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
from bench.peers import REFERENCE
from bench.plot import svg
from bench.targets import COMPANION
from bench.workload import CASES, GROUPS

_OTHER_GROUPS = tuple(dict.fromkeys(case.group for case in CASES.values() if not case.usual))
_DOCS = Path(__file__).resolve().parents[1] / "docs"
_NAME = "measuring-figures"
_OTHER_NAME = "measuring-connections"


def rst(result: dict[str, Any]) -> str:
    """The figures as reStructuredText: tables, and what was found of the figures to reach."""
    lines = _conditions(result)
    for group, unit in (("captured", "each"), ("uncaptured", "each"), ("streamed", "each MB")):
        keys = _keys(result, group)
        if keys:
            lines += _cpu(f"{group}: CPU microseconds, {unit} (ratio)", keys, result["figures"])
    if full := result.get("figures_full"):
        lines += _cpu("captured, stores full: CPU microseconds, each (ratio)", [*full], full)
    lines += _waits(_usual(result)["figures"])
    if result["memory"]:
        lines += table("20 slow readers of 64 MB", ["", "growth, MB"], _growths(result["memory"]))
    if starved := result.get("few_workers"):
        for title, rows in burst_report.tables(starved):
            lines += table(title, [*burst_report.HEADINGS], rows)
    found = [
        [verdict["wanted"], verdict["found"], {True: "yes", False: "**no**", None: "not measured"}[verdict["holds"]]]
        for verdict in result["verdicts"]
    ]
    lines += table("figures to reach", ["", "found", "holds"], found)
    return "\n".join(lines)


def rst_of_other_connections(result: dict[str, Any]) -> str:
    """The figures of TLS, new connections and several workers as reStructuredText: tables of ratios."""
    lines = _conditions(result)
    for group in _OTHER_GROUPS:
        if keys := _keys(result, group):
            lines += _ratios(GROUPS[group], keys, result["figures"])
    return "\n".join(lines)


def _conditions(result: dict[str, Any]) -> list[str]:
    """When, on which machine, and how disturbed."""
    when = datetime.fromisoformat(result["when"])
    report, machine = result["disturbance"], result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    text = (
        f"{when.day} {when:%B %Y}: {machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']};"
        f" {result['python']}; {versions}. Medians of {result['how']['rounds']} rounds (least to most); of all CPU time"
        f" others used {report['others_percent']} %, {report['steal_percent']} % was stolen."
    )
    return [*textwrap.wrap(text, 120), ""]


def _keys(result: dict[str, Any], group: str) -> list[str]:
    return [key for key in result["figures"] if CASES[key].group == group]


def _usual(result: dict[str, Any]) -> dict[str, Any]:
    """The result without TLS, new connections and several workers."""
    return {**result, "figures": {key: one for key, one in result["figures"].items() if CASES[key].usual}}


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
    return table(title, ["", *(CASES[key].title for key in keys)], rows)


def _ratios(title: str, keys: list[str], figures: dict[str, dict[str, Any]]) -> list[str]:
    rows = []
    for name in _names({key: figures[key] for key in keys}):
        ratios = [figures[key].get(name, {}).get("cpu_ratio") for key in keys]
        rows.append(
            [name, *(f"{one['median']:.2f}; {one['min']:.2f} to {one['max']:.2f}" if one else "-" for one in ratios)]
        )
    return table(f"{title}: CPU time beside {REFERENCE}", ["", *(CASES[key].title for key in keys)], rows)


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
    return table("wait added for one visitor, microseconds: p50, p99", ["", *(CASES[key].title for key in keys)], rows)


def table(title: str, headings: list[str], rows: Iterable[list[str]]) -> list[str]:
    """The lines of a table in reStructuredText, with an empty line after it."""
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
    usual = _usual(read)
    if usual["figures"]:
        (docs / f"{_NAME}.inc").write_text(rst(read))
        (docs / f"{_NAME}.svg").write_text(svg(usual))
    if len(usual["figures"]) < len(read["figures"]):
        (docs / f"{_OTHER_NAME}.inc").write_text(rst_of_other_connections(read))


if __name__ == "__main__":
    main()

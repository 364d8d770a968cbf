"""``python -m bench.growth``: what grows with idle connections, stored copies and rules.

``--write`` puts tables and pictures into the manual: ``docs/growth-PART.inc`` and ``docs/growth-PART.svg``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import evolve

from bench import system_info
from bench.command import run
from bench.growth import connections, copies, report, rules
from bench.growth.setting import Effort, setting

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_RESULTS = Path(__file__).resolve().parents[1] / "results"
_QUICK = Effort(1, (10, 1_000), (1_000, 10_000), (10, 100), 1_000, 1.0)


def measure(folder: Path, say: Callable[[str], None], effort: Effort, parts: tuple[str, ...]) -> dict[str, Any]:
    """Measure the parts; the result is what is written as JSON."""
    load_before = os.getloadavg()[0]
    found: dict[str, Any] = {}
    left_out: list[str] = []
    with setting(folder, say) as scene:
        for part in parts:
            if part == "connections":
                values, left_out = connections.measure(scene, effort)
            else:
                values = copies.measure(scene, effort) if part == "copies" else rules.measure(scene, effort)
            found[part] = report.figures(values)
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": system_info.python(),
        "machine": system_info.kind(),
        "load": [load_before, os.getloadavg()[0]],
        "rounds": effort.rounds,
        "parts": found,
        "left_out": left_out,
    }


def write(result: dict[str, Any], docs: Path) -> None:
    """Put the tables and pictures of the measured parts into the manual."""
    for part in result["parts"]:
        (docs / f"growth-{part}.inc").write_text(report.rst(result, part))
        (docs / f"growth-{part}.svg").write_text(report.picture(result, part))


@click.command()
@click.option("--quick", is_flag=True, help="one round, and smaller numbers: about a minute")
@click.option("--rounds", type=click.IntRange(1, 100), help="of everything  [default: 3; with --quick: 1]")
@click.option("--part", "parts", multiple=True, type=click.Choice([*report.PARTS]), help="only this one")
@click.option("--results", default=_RESULTS, show_default="bench/results", type=click.Path(path_type=Path))
@click.option("--write", "writes", is_flag=True, help="put the figures into the manual")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
def main(quick: bool, rounds: int | None, parts: tuple[str, ...], results: Path, writes: bool, as_json: bool) -> None:
    """Memory and CPU time of a node with many idle connections, stored copies and rules."""
    effort = _QUICK if quick else Effort()
    if rounds:
        effort = evolve(effort, rounds=rounds)

    def measured(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
        result = measure(folder, say, effort, parts or (*report.PARTS,))
        results.mkdir(parents=True, exist_ok=True)
        name = f"growth-{result['when'].replace(':', '')}"
        (results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        for part in result["parts"]:
            (results / f"{name}-{part}.svg").write_text(report.picture(result, part))
        if writes:
            write(result, _DOCS)
        return result

    run(measured, report.show, 140, as_json=as_json)


if __name__ == "__main__":
    main()

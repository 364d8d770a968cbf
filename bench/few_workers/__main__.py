"""``python -m bench.few_workers``: bursts for an application with few workers, without the other figures."""

from __future__ import annotations

import click

from bench.command import run
from bench.few_workers import bursts, report


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def main(rounds: int, as_json: bool) -> None:
    """Time, worst wait and errors of bursts: straight, through the companion, HAProxy and nginx."""
    run(lambda folder, progress: bursts.measure(folder, rounds, progress), report.show, 140, as_json=as_json)


if __name__ == "__main__":
    main()

"""``python -m bench.crawler``: the cost of an archived page, beside Scrapy at the same pages."""

from __future__ import annotations

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bench.command import run
from bench.crawler import pending as pending_notices
from bench.crawler import shared
from bench.crawler.measure import measure, verdicts
from bench.targets import Verdict

_WIDTH = 120


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--pages", default=1500, show_default=True, type=click.IntRange(50, 50000), help="in each round")
@click.option("--files", is_flag=True, help="pages with three files of their own origin, which are archived too")
@click.option("--pending", default=0, type=click.IntRange(0, 5_000_000), help="instead: a start with pending notices")
@click.option("--crawlers", default=0, type=click.IntRange(0, 8), help="instead: up to this many on one PostgreSQL")
@click.option("--lease-seconds", default=60.0, show_default=True, type=click.FloatRange(1, 3600), help="of --crawlers")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def main(
    rounds: int, pages: int, files: bool, pending: int, crawlers: int, lease_seconds: float, as_json: bool
) -> None:
    """CPU time, syncs and new connections for each archived page of 10 KB; or one of the other measurements."""
    if pending:
        run(
            lambda folder, progress: pending_notices.measure(folder, pending, progress),
            lambda console, result: _show_verdicts(console, pending_notices.verdicts(result)),
            _WIDTH,
            as_json=as_json,
        )
    elif crawlers:
        run(
            lambda folder, progress: shared.measure(folder, crawlers, rounds, pages, lease_seconds, progress),
            _show_shared,
            _WIDTH,
            as_json=as_json,
        )
    else:
        run(lambda folder, progress: measure(folder, rounds, pages, files, progress), _show, _WIDTH, as_json=as_json)


def _show(console: Console, result: dict[str, Any]) -> None:
    figures: dict[str, dict[str, dict[str, float]]] = result["figures"]
    table = Table(title="A page of 10 KB, medians", box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("", "CPU us", "syncs", "new connections", "pages/s"):
        table.add_column(heading, no_wrap=True, justify="right" if heading else "left")
    for name, by in figures.items():
        table.add_row(
            name,
            *(
                form.format(by[key]["median"])
                for key, form in (
                    ("cpu_us", "{:.0f}"),
                    ("syncs", "{:.3f}"),
                    ("connections", "{:.3f}"),
                    ("per_second", "{:.0f}"),
                )
            ),
        )
    console.print(table, markup=False)
    _show_verdicts(console, verdicts(figures))
    left_out: dict[str, str] = result["left_out"]
    for name, why in left_out.items():
        console.print(f"LEFT OUT: {name}: {why}", style="bold", markup=False)


def _show_shared(console: Console, result: dict[str, Any]) -> None:
    table = Table(title="Crawlers on one PostgreSQL, medians", box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("crawlers", "pages/s", "CPU us, crawlers", "CPU us, PostgreSQL"):
        table.add_column(heading, no_wrap=True, justify="right")
    for number, by in result["figures"].items():
        keys = ("per_second", "cpu_us", "server_cpu_us")
        table.add_row(number, *(f"{by[key]['median']:.0f}" for key in keys))
    console.print(table, markup=False)
    _show_verdicts(console, shared.verdicts(result))


def _show_verdicts(console: Console, found: list[Verdict]) -> None:
    for verdict in found:
        word = {True: "reached", False: "MISSED", None: "not measured"}[verdict.holds]
        console.print(f"{word}: {verdict.wanted}: {verdict.found}", highlight=False, markup=False)


if __name__ == "__main__":
    main()

"""``python -m bench.simulate``: how routing does at a thousand nodes and a million visits, without a socket."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor

import click
from attrs import asdict
from rich.console import Console
from rich.table import Table

from bench.simulated import KINDS, Figures, Plan, Simulation

_COLUMNS = ("kind", "notices", "archived", "lost", "requests each", "at first", "warm at first", "misroutes", "probes")
_FURTHER = ("visitors moved", "CPU s")


def run(plan: Plan) -> tuple[Figures, float]:
    """One kind, and the CPU seconds that it took."""
    before = time.process_time()
    return Simulation(plan).run(), time.process_time() - before


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def _row(plan: Plan, figures: Figures, seconds: float) -> list[str]:
    lost = figures.lost.total()
    return [
        plan.kind,
        f"{figures.notices:,}",
        _share(figures.archived, figures.notices),
        f"{lost:,}",
        f"{figures.requests / max(1, figures.notices):.3f}",
        _share(figures.at_first, figures.notices),
        _share(figures.warm_at_first, figures.warm),
        f"{figures.misroutes:,}",
        f"{figures.probes:,}",
        f"{figures.moved:,}",
        f"{seconds:.0f}",
    ]


def _details(plan: Plan, figures: Figures) -> list[str]:
    routes = ", ".join(f"{name} {number:,}" for name, number in figures.routes.most_common())
    lost = "; ".join(f"{reason}: {number:,}" for reason, number in figures.lost.most_common()) or "nothing"
    return [
        f"{plan.kind}: {figures.visits:,} visits, of which {figures.unseen:,} met a node that had just gone, and "
        f"{figures.untold:,} notices did; {figures.restarts} restarts, {figures.outages} outages",
        f"  archived by: {routes}; at most {figures.most_requests} requests for one page",
        f"  lost: {lost}",
    ]


@click.command(context_settings={"max_content_width": 110})
@click.option("--nodes", default=1000, show_default=True, type=click.IntRange(2, 20_000))
@click.option("--visits", default=1_000_000, show_default=True, type=click.IntRange(1), help="in all, for all kinds")
@click.option("--hours", default=2.0, show_default=True, help="over which a kind's visits are spread")
@click.option("--restarts", default=12.0, show_default=True, help="of each node in a day; what it held is gone")
@click.option("--outages", default=12.0, show_default=True, help="of each node in a day; it keeps what it held")
@click.option("--outage-seconds", default=90.0, show_default=True, help="how long one lasts on average")
@click.option("--kind", "kinds", multiple=True, type=click.Choice([*KINDS]), help="only this one")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def main(
    nodes: int,
    visits: int,
    hours: float,
    restarts: float,
    outages: float,
    outage_seconds: float,
    kinds: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Routing at a scale no test machine has: the crawler's own code over models of balancers, nodes and visitors.

    The visits are shared among the kinds, which run on all cores.
    """
    chosen = list(dict.fromkeys(kinds)) or list(KINDS)
    each = max(1, visits // len(chosen))
    plans = [Plan(kind, nodes, each, hours * 3600, restarts, outages, outage_seconds, seed) for kind in chosen]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(run, plans))
    if as_json:
        results = [
            {"plan": asdict(plan), "figures": asdict(figures)} for plan, (figures, _) in zip(plans, done, strict=True)
        ]
        print(json.dumps(results))
        return
    console = Console()
    console.width = max(console.width, 150)
    console.print(f"{nodes:,} nodes; {each:,} visits of each kind within {hours:g} h; seed {seed}", highlight=False)
    table = Table(*_COLUMNS, *_FURTHER)
    for plan, (figures, seconds) in zip(plans, done, strict=True):
        table.add_row(*_row(plan, figures, seconds))
    console.print(table)
    for plan, (figures, _) in zip(plans, done, strict=True):
        for line in _details(plan, figures):
            console.print(line, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()

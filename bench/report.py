"""Figures as a table for people and as JSON for machines: medians with the least and the most, and ratios."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rounds import Samples


def spread(values: Iterable[float], digits: int = 1) -> dict[str, float]:
    """Median, least and most."""
    every = list(values)
    return {"median": round(median(every), digits), "min": round(min(every), digits), "max": round(max(every), digits)}


def figures(samples: dict[str, Samples], reference: str) -> dict[str, dict[str, Any]]:
    """What is told of one coding, by peer.

    :param reference: the peer to which ratios are taken, round by round; none where it did not run.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, one in samples.items():
        told[name] = {
            "cpu_us": spread(one.cpu_us),
            "system_share": round(median(one.system_share), 2),
            "per_second": spread(one.per_second, 0),
            "p50_us": spread(one.p50_us),
            "added_p50_us": spread(one.added_p50_us),
            "peak_mb": round(one.peak_mb, 1),
        }
        if reference in samples:
            pairs = zip(one.cpu_us, samples[reference].cpu_us, strict=True)
            told[name]["cpu_ratio"] = spread((mine / theirs for mine, theirs in pairs), 2)
    return told


def _written(told: dict[str, float] | None, form: str) -> str:
    if told is None:
        return "-"
    return f"{told['median']:{form}} ({told['min']:{form}}..{told['max']:{form}})"


def show(console: Console, result: dict[str, Any]) -> None:
    """Print everything."""
    for coding, by_peer in result["figures"].items():
        table = Table(title=f"10 KB page, Accept-Encoding: {coding}", box=box.SIMPLE, title_justify="left")
        for heading in ("", "CPU us / page", "ratio", "in kernel", "pages / s", "added p50 us", "peak MB"):
            table.add_column(heading, no_wrap=True, justify="left" if not heading else "right")
        for name, one in by_peer.items():
            table.add_row(
                name,
                _written(one["cpu_us"], ".0f"),
                _written(one.get("cpu_ratio"), ".1f"),
                f"{one['system_share']:.0%}",
                f"{one['per_second']['median']:.0f}",
                _written(one["added_p50_us"], "+.0f"),
                f"{one['peak_mb']:.0f}",
            )
        console.print(table)
    how = result["how"]
    console.print(
        f"Medians (least to most) of {how['rounds']} interleaved rounds, {how['requests']} requests over"
        f" {how['connections']} kept connections each; ratio: CPU against {how['reference']}, round by round."
        " Every answer and a copy of each round were checked.",
        soft_wrap=True,
    )
    for name, lacking in result["left_out"].items():
        console.print(f"LEFT OUT: {name}: {lacking} is not here", style="bold", soft_wrap=True)
    told = result["disturbance"]
    machine = result["machine"]
    console.print(
        f"{machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']}, Python {result['python']}."
        f" Load average {told['load_before']} before, {told['load_after']} after; of all CPU time"
        f" {told['steal_percent']} % stolen, {told['others_percent']} % used by others, {told['idle_percent']} % idle.",
        soft_wrap=True,
    )
    if told["steal_percent"] > 2 or told["others_percent"] > 15:
        console.print("The run was DISTURBED: trust the ratios only, and run it again.", style="bold", soft_wrap=True)

"""Figures as tables for people and as JSON for machines: medians with the least and the most, and ratios."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.peers import REFERENCE, STREAM_REFERENCE
from bench.schedule import Samples
from bench.workload import CASES, GROUPS


def spread(values: Iterable[float], digits: int = 1) -> dict[str, Any]:
    """Median, least and most, and the value of each round."""
    every = [round(value, digits) for value in values]
    return {"median": round(median(every), digits), "min": min(every), "max": max(every), "rounds": every}


def reference_of(case: str) -> str:
    """The peer against which ratios of this case are."""
    return STREAM_REFERENCE if CASES[case].streamed else REFERENCE


def figures(samples: dict[str, Samples], reference: str) -> dict[str, dict[str, Any]]:
    """Return the figures of one case, by peer.

    :param reference: the peer to which ratios are taken, round by round; none where it did not run.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, one in samples.items():
        told[name] = {
            "cpu_us": spread(one.cpu_us),
            "system_share": round(median(one.system_share), 2),
            "per_second": spread(one.per_second, 0),
        }
        if one.added_p50_us:
            told[name]["added_p50_us"] = spread(one.added_p50_us)
            told[name]["added_p99_us"] = spread(one.added_p99_us)
        if reference in samples:
            pairs = zip(one.cpu_us, samples[reference].cpu_us, strict=True)
            told[name]["cpu_ratio"] = spread((mine / theirs for mine, theirs in pairs), 2)
    return told


def _written(told: dict[str, Any] | None, form: str) -> str:
    if told is None:
        return "-"
    return f"{told['median']:{form}} ({told['min']:{form}}..{told['max']:{form}})"


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=True, justify="right" if number else "left")
    return table


def _cpu_tables(console: Console, by_case: dict[str, dict[str, Any]]) -> None:
    for group, title in GROUPS.items():
        keys = [key for key in by_case if CASES[key].group == group]
        if not keys:
            continue
        unit = "MB (1,048,576 bytes)" if group == "streamed" else "request"
        words = f"{title[0].upper()}{title[1:]}: CPU microseconds for each {unit}"
        table = _table(words, "", "", "CPU us", "ratio", "in kernel", "per second")
        for key in keys:
            for name, one in by_case[key].items():
                table.add_row(
                    CASES[key].title if name == next(iter(by_case[key])) else "",
                    name,
                    _written(one["cpu_us"], ".0f"),
                    _written(one.get("cpu_ratio"), ".2f"),
                    f"{one['system_share']:.0%}",
                    f"{one['per_second']['median']:.0f}",
                    end_section=name == list(by_case[key])[-1],
                )
        table.columns[1].justify = "left"
        console.print(table)


def _wait_table(console: Console, by_case: dict[str, dict[str, Any]]) -> None:
    keys = [key for key, peers in by_case.items() if any("added_p50_us" in peer for peer in peers.values())]
    if not keys:
        return
    table = _table("Wait added for one visitor, microseconds", "", "", "p50", "p99")
    for key in keys:
        for name, one in by_case[key].items():
            added = [_written(one.get(f"added_{which}_us"), "+.0f") for which in ("p50", "p99")]
            table.add_row(CASES[key].title if name == next(iter(by_case[key])) else "", name, *added)
    table.columns[1].justify = "left"
    console.print(table)


def _memory_table(console: Console, memory: dict[str, dict[str, Any]], seconds: float) -> None:
    if not memory:
        return
    title = f"MB resident, 20 slow readers of 64 MB, {seconds:g} s"
    table = _table(title, "", "before", "growth")
    for name, one in memory.items():
        growth = f"{one['growth_mb']:.1f}"
        table.add_row(name, f"{one['before_mb']:.0f}", f"over {growth}, then stopped" if one["stopped"] else growth)
    console.print(table)


def _verdict_table(console: Console, verdicts: list[dict[str, Any]]) -> None:
    table = _table("Figures to reach", "", "found", "holds")
    for verdict in verdicts:
        holds = {True: "yes", False: "NO", None: "not measured"}[verdict["holds"]]
        table.add_row(verdict["wanted"], verdict["found"], holds)
    console.print(table)


def show(console: Console, result: dict[str, Any]) -> None:
    """Print everything."""
    by_case = result["figures"]
    _cpu_tables(console, by_case)
    if result.get("figures_full"):
        console.print("The same once the stores are full, as on a farm that has run for a while:", style="bold")
        _cpu_tables(console, result["figures_full"])
    _wait_table(console, by_case)
    _memory_table(console, result["memory"], result["how"]["sip_seconds"])
    if by_case or result["memory"]:
        _verdict_table(console, result["verdicts"])
    how = result["how"]
    console.print(
        f"Medians (least to most) of {how['rounds']} interleaved rounds; ratio: CPU against {REFERENCE}, of streams"
        f" against {STREAM_REFERENCE}, round by round. Every answer, and a copy of each load of captured pages, was"
        " checked.",
        soft_wrap=True,
    )
    for name, lacking in result["left_out"].items():
        console.print(f"LEFT OUT: {name}: {lacking} is not here", style="bold", soft_wrap=True)
    told = result["disturbance"]
    machine = result["machine"]
    versions = "; ".join(f"{name}: {version}" for name, version in result["versions"].items() if version)
    console.print(
        f"{machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']}. {result['python']}. {versions}.",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    console.print(
        f"Load average {told['load_before']} before, {told['load_after']} after; of all CPU time"
        f" {told['steal_percent']} % stolen, {told['others_percent']} % used by others, {told['idle_percent']} % idle.",
        soft_wrap=True,
    )
    if told["steal_percent"] > 2 or told["others_percent"] > 15:
        console.print("The run was DISTURBED: trust the ratios only, and run it again.", style="bold", soft_wrap=True)

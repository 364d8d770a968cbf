"""The figures of the bursts, as tables for people and for the manual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

HEADINGS = ("", "seconds", "ratio", "worst wait, s", "errors")


def tables(result: dict[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield title and rows for each application and burst; the columns are ``HEADINGS``."""
    for application, by_burst in result["figures"].items():
        for burst, by_front in by_burst.items():
            yield f"{application}: {burst}", [_row(name, one) for name, one in by_front.items()]


def _row(name: str, one: dict[str, Any]) -> list[str]:
    spread = f"{one['seconds']:.2f} ({one['seconds_min']:.2f}..{one['seconds_max']:.2f})"
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
    errors = ", ".join(f"{count} x {what}" for what, count in one["errors"].items()) or "0"
    return [name, spread, ratio, f"{one['worst']:.2f}", errors]


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the tables, and what was left out."""
    for title, rows in tables(result):
        table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
        for number, heading in enumerate(HEADINGS):
            table.add_column(heading, no_wrap=True, justify="right" if number in (1, 2, 3) else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, lacking in result["left_out"].items():
        console.print(f"LEFT OUT: {name}: {lacking} is not here", style="bold", soft_wrap=True)

"""The figures of growth as tables for people and for the manual, and as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.growth.curves import svg
from bench.growth.setting import Values
from bench.manual import table as rst_table
from bench.report import spread

#: The parts: what grows, and the title of the picture.
PARTS = {
    "connections": ("idle connections", "A node with idle connections"),
    "copies": ("copies", "A node with stored copies"),
    "rules": ("rules", "A node with long lists of rules"),
}


def figures(values: Values) -> dict[str, dict[str, dict[str, Any]]]:
    """Medians, least and most, by figure, series and number; the numbers are texts, as in JSON."""
    return {
        figure: {
            name: {str(number): spread(rounds, 2) for number, rounds in sorted(by_number.items())}
            for name, by_number in series.items()
        }
        for figure, series in values.items()
    }


def tables(result: dict[str, Any], part: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and rows of each figure of a part."""
    axis = PARTS[part][0]
    for title, series in result["parts"][part].items():
        numbers = sorted({int(number) for one in series.values() for number in one})
        rows = []
        for name, one in series.items():
            rows.append([name, *(_cell(one.get(str(number))) for number in numbers)])
        yield title, ["", *(f"{number:,} {axis}" for number in numbers)], rows


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return "-"
    digits = 0 if one["median"] >= 20 else 1 if one["median"] >= 1 else 2
    return f"{one['median']:.{digits}f} ({one['min']:.{digits}f} to {one['max']:.{digits}f})"


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the tables, and what was left out."""
    for part in result["parts"]:
        for title, headings, rows in tables(result, part):
            table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
            for number, heading in enumerate(headings):
                table.add_column(heading, no_wrap=True, justify="right" if number else "left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
    for words in result["left_out"]:
        console.print(f"LEFT OUT: {words}", style="bold", soft_wrap=True)
    console.print(about(result), highlight=False, markup=False)


def about(result: dict[str, Any]) -> str:
    """When and where it was measured."""
    machine = result["machine"]
    when = datetime.fromisoformat(result["when"])
    return (
        f"{when.day} {when:%B %Y}: {machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']};"
        f" {result['python']}. Medians of {result['rounds']} rounds (least to most); load average"
        f" {result['load'][0]:.1f} before, {result['load'][1]:.1f} after."
    )


def rst(result: dict[str, Any], part: str) -> str:
    """The figures of a part as the manual includes them."""
    lines = [*textwrap.wrap(about(result), 120), ""]
    for title, headings, rows in tables(result, part):
        lines += rst_table(title, headings, rows)
    return "\n".join(lines)


def picture(result: dict[str, Any], part: str) -> str:
    """The figures of a part as SVG."""
    axis, title = PARTS[part]
    where = f"{result['when']}, {result['python'].partition(' (')[0]}"
    return svg(f"{title}: medians, least and most of {result['rounds']} rounds", where, axis, result["parts"][part])

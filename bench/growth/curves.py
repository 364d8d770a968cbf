"""The figures of growth as pictures, SVG, written by hand: a panel for each figure, a line for each series. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from bench.plot import SPREAD

_WIDTH = 900
_LEFT, _RIGHT, _TOP, _PLOT, _BOTTOM = 60, 20, 34, 150, 40
_LEGEND_ROW = 17
_LEGEND_COLUMNS = 4
_GRID = "#dddddd"
_TEXT = "#555555"
#: Distinct for people who see few colours as well (Okabe and Ito).
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

#: A figure: by series and number, the spread of the rounds, see :func:`bench.report.spread`.
Figure = Mapping[str, Mapping[str, dict[str, Any]]]


def svg(title: str, about: str, axis: str, figures: Mapping[str, Figure]) -> str:
    """A picture of all figures of a part.

    :param about: the line below the title.
    :param axis: what grows.
    """
    names = list(dict.fromkeys(name for figure in figures.values() for name in figure))
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}
    parts, y = _legend(colours, 56)
    for heading, figure in figures.items():
        parts += _panel(heading, axis, figure, colours, y)
        y += _TOP + _PLOT + _BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 10}" viewBox="0 0 {_WIDTH} {y + 10}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{y + 10}" fill="#ffffff"/>\n'
        f'<text x="12" y="24" font-size="16">{escape(title)}</text>\n'
        f'<text x="12" y="42" fill="{_TEXT}">{escape(about)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _legend(colours: Mapping[str, str], y: int) -> tuple[list[str], int]:
    """The names of the series, if there are several; and where the next thing is drawn."""
    if len(colours) < 2:
        return [], y
    parts = []
    for at, (name, colour) in enumerate(colours.items()):
        x = 12 + (_WIDTH - 24) // _LEGEND_COLUMNS * (at % _LEGEND_COLUMNS)
        top = y + _LEGEND_ROW * (at // _LEGEND_COLUMNS)
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="{top + 6}" y2="{top + 6}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 28}" y="{top + 10}">{escape(name)}</text>')
    return parts, y + _LEGEND_ROW * math.ceil(len(colours) / _LEGEND_COLUMNS)


def _panel(heading: str, axis: str, figure: Figure, colours: Mapping[str, str], y: int) -> list[str]:
    numbers = sorted({int(number) for series in figure.values() for number in series})
    most = max((spread["max"] for series in figure.values() for spread in series.values()), default=0)
    ceiling = _round_up(most)
    bottom = y + _TOP + _PLOT

    def across(number: int) -> float:
        """The numbers at even distances: each is about ten times the one before."""
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (numbers.index(number) + 0.5) / max(len(numbers), 1), 1)

    def up(value: float) -> float:
        return round(bottom - _PLOT * max(value, 0) / ceiling, 1)

    parts = [f'<text x="12" y="{y + 22}" font-weight="bold">{escape(heading)}</text>']
    for quarter in range(5):
        value = ceiling * quarter / 4
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(value)}" y2="{up(value)}" stroke="{_GRID}"/>',
            f'<text x="{_LEFT - 6}" y="{up(value) + 4}" text-anchor="end" fill="{_TEXT}">{value:g}</text>',
        ]
    for number in numbers:
        words = f"{number:,} {axis}"
        parts.append(
            f'<text x="{across(number)}" y="{bottom + 16}" text-anchor="middle" fill="{_TEXT}">{escape(words)}</text>'
        )
    for name, series in figure.items():
        points = [
            (across(int(number)), spread) for number, spread in sorted(series.items(), key=lambda one: int(one[0]))
        ]
        line = " ".join(f"{x},{up(spread['median'])}" for x, spread in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        for x, spread in points:
            parts += [
                f'<line x1="{x}" x2="{x}" y1="{up(spread["min"])}" y2="{up(spread["max"])}" stroke="{SPREAD}"/>',
                f'<circle cx="{x}" cy="{up(spread["median"])}" r="3.5" fill="{colours[name]}"/>',
            ]
    return parts


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 and 8 times a power of ten; the quarters of all of them are short numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if value <= step * power * (1 + 1e-9))

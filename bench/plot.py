"""The figures as one picture, SVG, written by hand: bars with the spread of the rounds, a panel for each kind. Pure."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from attrs import frozen

from bench.targets import COMPANION
from bench.workload import CASES, GROUPS

_WIDTH = 900
_NAMES = 250
_VALUES = 190
_ROW = 17
_TITLE = 34
_OURS, _THEIRS, SPREAD = "#b5482a", "#6d8aa8", "#222222"


@frozen
class _Bar:
    """One line of a panel; ``least`` and ``most`` of the rounds, ``middle`` their median."""

    name: str
    middle: float
    least: float
    most: float
    label: str


def svg(result: dict[str, Any]) -> str:
    """Make the plots of a whole result, see :mod:`bench.__main__`."""
    panels = [*_cpu(result["figures"]), *_waits(result["figures"]), *_memory(result["memory"])]
    parts: list[str] = []
    y = 50
    for title, bars in panels:
        parts += _panel(title, bars, y)
        y += _TITLE + _ROW * len(bars)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 40}" viewBox="0 0 {_WIDTH} {y + 40}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{y + 40}" fill="#ffffff"/>\n'
        '<text x="12" y="24" font-size="16">lbcompanion beside its peers: medians, least and most of'
        f" {result['how']['rounds']} rounds; scales are logarithmic</text>\n"
        f'<text x="12" y="42" fill="#555555">{escape(result["when"])}, {escape(result["python"])}</text>\n'
    )
    disturbed = f"{result['disturbance']['others_percent']} % of all CPU time was used by others."
    foot = f'<text x="12" y="{y + 24}" fill="#555555">{escape(disturbed)}</text>\n</svg>\n'
    return head + "\n".join(parts) + "\n" + foot


def _cpu(figures: dict[str, dict[str, Any]]) -> list[tuple[str, list[_Bar]]]:
    panels = []
    for key, peers in figures.items():
        case = CASES[key]
        unit = "each MB" if case.streamed else "each"
        bars = [_bar(name, one["cpu_us"], one.get("cpu_ratio")) for name, one in peers.items()]
        panels.append((f"{case.title}, {GROUPS[case.group]}: CPU microseconds, {unit}", bars))
    return panels


def _bar(name: str, spread: dict[str, Any], ratio: dict[str, Any] | None = None) -> _Bar:
    label = f"{spread['median']:.0f}" + (f"  ({ratio['median']:.2f} x)" if ratio else "")
    return _Bar(name, spread["median"], spread["min"], spread["max"], label)


def _waits(figures: dict[str, dict[str, Any]]) -> list[tuple[str, list[_Bar]]]:
    panels = []
    for key, peers in figures.items():
        for which in ("p50", "p99"):
            field = f"added_{which}_us"
            bars = [_bar(name, one[field]) for name, one in peers.items() if field in one]
            if bars:
                panels.append((f"{CASES[key].title}: wait added for one visitor, {which}, microseconds", bars))
    return panels


def _memory(memory: dict[str, dict[str, Any]]) -> list[tuple[str, list[_Bar]]]:
    bars = []
    for name, one in memory.items():
        grown = one["growth_mb"]
        bars.append(_Bar(name, grown, grown, grown, f"{grown:.1f}" + (", then stopped" if one["stopped"] else "")))
    return [("20 slow readers of 64 MB: growth of resident memory, MB", bars)] if bars else []


def _panel(title: str, bars: list[_Bar], y: int) -> list[str]:
    """A panel's lines; lengths are logarithmic, from half a decade below its least median."""
    floor = min((bar.middle for bar in bars if bar.middle > 0), default=1.0) / math.sqrt(10)
    ceiling = max([bar.most for bar in bars] + [floor * 10])
    space = _WIDTH - _NAMES - _VALUES

    def x(value: float) -> float:
        share = math.log(max(value, floor) / floor) / math.log(ceiling / floor)
        return round(_NAMES + space * min(share, 1.0), 1)

    parts = [f'<text x="12" y="{y + 22}" font-weight="bold">{escape(title)}</text>']
    for number, bar in enumerate(bars):
        top = y + _TITLE - 4 + number * _ROW
        middle = top + _ROW / 2
        colour = _OURS if bar.name == COMPANION else _THEIRS
        parts += [
            f'<text x="{_NAMES - 8}" y="{top + 12}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{_NAMES}" y="{top + 2}" width="{x(bar.middle) - _NAMES:.1f}" height="{_ROW - 4}"'
            f' fill="{colour}"/>',
            f'<line x1="{x(bar.least)}" x2="{x(bar.most)}" y1="{middle}" y2="{middle}" stroke="{SPREAD}"/>',
            f'<text x="{max(x(bar.most), x(bar.middle)) + 6:.1f}" y="{top + 12}">{escape(bar.label)}</text>',
        ]
    return parts

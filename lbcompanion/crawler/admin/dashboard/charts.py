"""Pictures of the counts over time: the geometry of their SVG, which a template draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from lbcompanion.crawler.admin.activity_api import Period, Timeline
from lbcompanion.crawler.admin.dashboard.rendering import duration, number
from lbcompanion.model import to_rfc3339

WIDTH, HEIGHT = 640.0, 170.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 4.0, 8.0, 22.0
_Y_TICKS, _X_TICKS = 5, 6


@frozen
class Bar:
    """A rectangle of one period.

    :ivar kind: the class that gives it its colour: ``archived``, ``lost`` or ``delay``.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@frozen
class Tick:
    """A label at an axis; ``at`` is a time of the API, or empty."""

    place: float
    text: str
    at: str = ""


@frozen
class Chart:
    """A picture.

    :ivar summary: the picture in words.
    :ivar line: the points of a line over the bars, for SVG; empty if the picture has no line.
    """

    title: str
    summary: str
    bars: Sequence[Bar]
    line: str
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT


def ceiling(highest: float) -> float:
    """Return a round number for the top of an axis: 1, 2 or 5 with zeros behind, at least the highest value."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= highest)


def pages_chart(found: Timeline) -> Chart:
    """Draw how many pages were seen, archived and lost."""
    total = found.total
    summary = (
        f"{number(total.seen)} pages seen, {number(total.archived.pages)} archived, {number(total.lost_pages)} lost"
    )

    def parts(period: Period) -> Iterable[tuple[float, str]]:
        return ((period.archived.pages, "archived"), (period.lost_pages, "lost"))

    def title(at: int, period: Period) -> str:
        words = f"{period.seen} seen, {period.archived.pages} archived, {period.lost_pages} lost"
        return f"{_clock(at)}: {words}"

    top = ceiling(
        max((max(each.seen, each.archived.pages + each.lost_pages) for each in found.periods.values()), default=0)
    )
    line = _line(found, top, lambda period: period.seen)
    return Chart(
        "Pages", summary, _bars(found, top, parts, title), line, _y_ticks(top, number, whole=True), _x_ticks(found)
    )


def delay_chart(found: Timeline) -> Chart:
    """Draw how long it took from a view to the archive, in the mean of each period."""
    mean = found.total.mean_delay
    within = found.total.archived.within[1] / found.total.archived.pages if found.total.archived.pages else 0
    summary = f"{duration(mean)} in the mean, {within:.0%} within 10 s" if mean is not None else "nothing was archived"
    top = ceiling(max((each.mean_delay or 0 for each in found.periods.values()), default=0))
    bars = _bars(
        found,
        top,
        lambda period: ((period.mean_delay or 0, "delay"),),
        lambda at, period: f"{_clock(at)}: {duration(period.mean_delay) or 'nothing archived'}",
    )
    return Chart("From view to archive", summary, bars, "", _y_ticks(top, duration), _x_ticks(found))


def _clock(at: int) -> str:
    text = to_rfc3339(at)
    return f"{text[:10]} {text[11:16]} UTC"


def _y(value: float, top: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top, 1)


def _bars(
    found: Timeline,
    top: float,
    parts: Callable[[Period], Iterable[tuple[float, str]]],
    title: Callable[[int, Period], str],
) -> list[Bar]:
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(found.periods), 1)
    bars = []
    for index, (at, period) in enumerate(found.periods.items()):
        below = 0.0
        for value, kind in parts(period):
            if value > 0:
                upper, lower = _y(below + value, top), _y(below, top)
                x = round(_LEFT + index * slot + slot * 0.1, 1)
                bars.append(Bar(x, upper, round(slot * 0.8, 1), round(lower - upper, 1), kind, title(at, period)))
                below += value
    return bars


def _line(found: Timeline, top: float, value: Callable[[Period], float]) -> str:
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(found.periods), 1)
    points = ((_LEFT + (index + 0.5) * slot, value(each)) for index, each in enumerate(found.periods.values()))
    return " ".join(f"{x:.1f},{_y(height, top)}" for x, height in points)


def _y_ticks(top: float, text: Callable[[float], str], *, whole: bool = False) -> list[Tick]:
    step = max(top / _Y_TICKS, 1.0 if whole else 0.0)
    return [Tick(_y(step * index, top), text(step * index) if index else "0") for index in range(round(top / step) + 1)]


def _x_ticks(found: Timeline) -> list[Tick]:
    starts = list(found.periods)
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(starts), 1)
    every = max(1, len(starts) // _X_TICKS)
    has_days = found.until - found.since > 2 * 86400
    ticks = []
    for index in range(0, len(starts) - every // 2, every):
        at = to_rfc3339(starts[index])
        ticks.append(Tick(round(_LEFT + index * slot, 1), at[5:10] if has_days else at[11:16], at))
    return ticks

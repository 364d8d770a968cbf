"""What keeps ``make quick`` quick: few cases of each table, no search for constants, and what it cost.

The budget is in docs/testing.rst. Nothing here fails a test: a machine may be slow.
"""

from __future__ import annotations

import gc
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis.internal.conjecture import providers

from tests.support import marks

#: Cases of one parametrised test that are not ``slow``.
CASES = 3
#: CPU seconds of a whole run from which on the summary names the tests that cost most, and how many it names.
BUDGET = 15.0
NAMED = 15
#: Let the summary appear always.
SHOW = "LBC_COSTS"

_costs: dict[str, float] = {}


def start(profile: str) -> None:
    """Spare the quick run what costs more than it is worth there.

    Hypothesis parses all modules of the package, to try the constants that it finds. Of 5 examples few would have one.
    """
    if profile == "fast":
        providers._get_local_constants = lambda: providers._local_constants


def freeze() -> None:
    """Garbage collections need not look again and again at what was made while tests were collected."""
    gc.collect()
    gc.freeze()


def sample(items: list[pytest.Item]) -> None:
    """Of each parametrised test, mark all cases ``slow`` but some at equal distances: the first, and so on."""
    families: defaultdict[tuple[Any, ...], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            families[item.parent, item.originalname].append(item)
    for family in families.values():
        kept = spread(len(family))
        for number, item in enumerate(family):
            if number not in kept:
                item.add_marker("slow")


def spread(count: int) -> set[int]:
    """Which of so many cases are kept."""
    return set(range(count)) if count <= CASES else {number * count // CASES for number in range(CASES)}


@contextmanager
def measured(item: pytest.Item) -> Iterator[None]:
    """Note the CPU time of a test, with its set-up and its end."""
    before = time.process_time()
    try:
        yield
    finally:
        _costs[item.nodeid] = time.process_time() - before


def summary(terminal: Any, config: pytest.Config) -> None:
    """Name the tests that cost most, if a run that leaves ``slow`` out cost too much."""
    total = time.process_time()
    if os.environ.get(SHOW) is None and (total < BUDGET or "slow" not in marks.left_out(config.option.markexpr)):
        return
    terminal.section("costs")
    terminal.line(
        f"{total:.1f} s of CPU, {sum(_costs.values()):.1f} s of it in {len(_costs)} tests; {BUDGET:.0f} s should do."
        " Those that cost most, make them cheap or mark them slow:"
    )
    for name, cost in sorted(_costs.items(), key=lambda pair: -pair[1])[:NAMED]:
        terminal.line(f"{1000 * cost:6.0f} ms  {name}")

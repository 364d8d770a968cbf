"""Keeps ``make quick`` quick: few cases of each table, no search for constants, and a report of the cost.

The budget is in docs/testing.rst. Nothing here fails a test: a machine may be slow.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import pytest
import twisted.plugin
from hypothesis import core
from hypothesis.internal.conjecture import providers
from sqlalchemy import inspect
from twisted.trial import _synctest

from tests.support import marks

#: Cases of one parametrised test, and suites that run one inherited test, that are not ``slow``.
CASES = 2
#: CPU seconds of a whole run from which on the summary names the tests that cost most, and how many it names.
BUDGET = 15.0
NAMED = 15
#: Let the summary appear always.
SHOW = "LBC_COSTS"

_costs: dict[str, float] = {}


def start(profile: str) -> None:
    """Switch off expensive work that the quick run does not need. Each item cost 0.2 s to 0.5 s of CPU.

    Hypothesis parses all modules of the package, to try the constants that it finds. Of 5 examples few would have one.
    It reads and tokenizes the source of each test for its seed; the name of the test makes a seed, too.
    Trial clears the warning registries of all modules before each test; no quick test asks Trial for warnings.
    Twisted looks for new plugins at each command; no quick test writes one.
    """
    if profile == "fast":
        providers._get_local_constants = lambda: providers._local_constants
        core.function_digest = lambda test: hashlib.sha256(f"{test.__module__}.{test.__qualname__}".encode()).digest()
        _synctest._setWarningRegistryToNone = lambda modules: None
        twisted.plugin.getCache = cache(twisted.plugin.getCache)
        gc.set_threshold(50_000, 20, 100)


def copy_queue_tables() -> None:
    """Make the tables of the crawler's queue once for all SQLite databases: a new database takes 15 ms otherwise.

    Only if a collected test module has imported the database.
    """
    if (module := sys.modules.get("lbcompanion.crawler.queue.database")) is None:
        return
    create = module.Database.open

    @cache
    def template() -> Any:
        made = module.Database(module.open_engine("sqlite://"))
        create(made)
        return made._engine.raw_connection().driver_connection

    def copied(database: Any) -> None:
        if database.is_server or inspect(database._engine).get_table_names():
            create(database)
            return
        with closing(database._engine.raw_connection()) as connection:
            template().backup(connection.driver_connection)

    module.Database.open = copied


def freeze() -> None:
    """Garbage collections need not look again and again at what was made while tests were collected."""
    gc.freeze()


def generate(metafunc: pytest.Metafunc) -> None:
    """Do not even make the cases that :func:`sample` would mark, if ``-m`` leaves slow tests out."""
    if "slow" in marks.left_out(metafunc.config.option.markexpr) and len(metafunc._calls) > CASES:
        kept = spread(len(metafunc._calls))
        metafunc._calls = [call for number, call in enumerate(metafunc._calls) if number in kept]


def is_left_out(function: Any, config: pytest.Config) -> bool:
    """Whether ``-m`` leaves out a test function because of its own marks: no item need be made of it."""
    found = getattr(function, "pytestmark", None)
    names = {mark.name for mark in found} if isinstance(found, list) else set()
    return bool(names & marks.left_out(config.option.markexpr))


def sample(items: list[pytest.Item]) -> None:
    """Mark cases of a long table ``slow``, except some at equal distances.

    Cases are those of a parametrised test, and of a contract suite the same test for each implementation.
    """
    families: defaultdict[tuple[Any, ...], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and (family := _family(item)):
            families[family].append(item)
    for family_items in families.values():
        kept = spread(len(family_items))
        for number, item in enumerate(family_items):
            if number not in kept:
                item.add_marker("slow")


def _family(item: pytest.Function) -> tuple[Any, ...] | None:
    if hasattr(item, "callspec"):
        return item.parent, item.originalname
    inherited = item.cls is not None and item.name not in vars(item.cls)
    return (item.obj.__module__, item.obj.__qualname__) if inherited else None


def spread(count: int) -> set[int]:
    """The indexes of the kept cases."""
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

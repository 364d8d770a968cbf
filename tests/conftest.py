"""Shared by all tests: programs that may be missing, the count of what was left out, Hypothesis' profiles.

``need_program("haproxy")`` gives the program's path, ``need_library("obstore")`` a module of an extra. Without it the
test is left out, and the summary at the end has the count; with ``CI=true`` that is a failure.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import failure_report, marks, quick
from tests.support.programs import LEFT_OUT, need_program

# Deadlines are off everywhere: a shared machine with two cores stumbles, the code under test does not.
_SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, max_examples=50, suppress_health_check=_SLOW
)
settings.register_profile("fast", derandomize=True, deadline=None, database=None, max_examples=2)
settings.register_profile("big", deadline=None, max_examples=5000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("LBC_HYPOTHESIS", "ci"))


# In the background a shell has its commands ignore Ctrl-C, and the programs that tests start and interrupt would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest asks for Twisted's version at every test, and reads Twisted's whole METADATA for it: 1.5 ms.
importlib.metadata.version = cache(importlib.metadata.version)


def pytest_configure(config: pytest.Config) -> None:
    """Watch what tests do from the first on."""
    marks.watch()
    quick.start(os.environ.get("LBC_HYPOTHESIS", "ci"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a module all of whose tests ``-m "not ..."`` leaves out."""
    return True if marks.of_module(collection_path) & marks.left_out(config.option.markexpr) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """Make no item of a test function that ``-m "not ..."`` leaves out."""
    return [] if name.startswith("test") and quick.is_left_out(obj, collector.config) else None


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once all parameters are known, make few of their cases in a quick run."""
    quick.generate(metafunc)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of whole folders their marks, and all but a few cases of long tables theirs; long files first."""
    quick.sample(items)
    for item in items:
        for mark in marks.of_folder(item.path):
            item.add_marker(mark)
    if "PYTEST_XDIST_WORKER" in os.environ:
        marks.long_files_first(items)


def pytest_collection_finish() -> None:
    """All test modules are imported now."""
    if os.environ.get("LBC_HYPOTHESIS") == "fast":
        quick.copy_queue_tables()
    quick.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Know which test it is that opens a socket or starts a process, and what it costs."""
    failure_report.forget_ended()
    with marks.watching(item), quick.measured(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Put the ends of the logs and the state of browser pages into the report of a failure."""
    report = yield
    failure_report.extend(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that did what its marks do not say."""
    result = yield
    marks.check(item)
    return result


@pytest.fixture(name="need_program")
def need_program_fixture() -> Callable[[str], str]:
    """:func:`need_program`, for tests that would rather be handed it."""
    return need_program


def _programs_missing(reports: list[Any]) -> Counter[str]:
    missing: Counter[str] = Counter()
    for report in reports:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if LEFT_OUT in text:
            missing[text.split(LEFT_OUT, 1)[1].split(",", 1)[0]] += 1
    return missing


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say at the end how many tests were left out, for want of what, and which cost most if all cost too much."""
    quick.summary(terminalreporter, config)
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section("left out")
    for name, count in sorted(_programs_missing(skipped).items()):
        terminalreporter.line(f"{count} for want of {name}")
    terminalreporter.line(f"{len(skipped)} tests left out")

"""What all tests share: programs that may be missing, the count of what was left out, Hypothesis' profiles.

``need_program("haproxy")`` gives the program's path. Where it is missing the test is left out, which the summary at
the end tells; with ``CI=true`` that is a failure, so that nothing is left out unseen.
"""

from __future__ import annotations

import os
import shutil
import unittest
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

#: Daemons live where an ordinary user's PATH does not look.
_FURTHER = ("/usr/sbin", "/usr/local/sbin", "/sbin")
#: Other names under which a program is found.
_NAMES = {"chromium": ("chromium", "google-chrome", "google-chrome-stable")}
_TOMCAT = Path("/usr/share/tomcat10/bin/bootstrap.jar")
_LEFT_OUT = "needs the program "

# Deadlines are off everywhere: a shared machine with two cores stumbles, the code under test does not.
_SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, max_examples=50, suppress_health_check=_SLOW
)
settings.register_profile("fast", derandomize=True, deadline=None, database=None, max_examples=5)
settings.register_profile("big", deadline=None, max_examples=5000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("LBC_HYPOTHESIS", "ci"))


def in_ci() -> bool:
    """Whether everything must run."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def find_program(name: str) -> str | None:
    """The path of a program, or None where it is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FURTHER))
    for one in _NAMES.get(name, (name,)):
        if found := shutil.which(one, path=path):
            return found
    if name == "chromium":
        cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
        return next((str(one) for one in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))), None)
    if name == "postgres":  # of any version
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: int(one.parts[4]))
        return str(versions[-1]) if versions else None
    if name == "tomcat":  # no program of its own: a Java machine is started with it
        return str(_TOMCAT) if _TOMCAT.is_file() else None
    if name == "envoy":  # in a wheel
        package = find_spec("envoy")
        wheel = Path(next(iter((package and package.submodule_search_locations) or ("",)))) / "_bin" / "envoy"
        return str(wheel) if wheel.is_file() else None
    return None


def need_program(name: str) -> str:
    """The path of a program this test cannot do without; may be called in any test, set-up or fixture."""
    if found := find_program(name):
        return found
    if in_ci():
        raise AssertionError(f"{_LEFT_OUT}{name}, and with CI=true nothing may be left out")
    raise unittest.SkipTest(f"{_LEFT_OUT}{name}, which is not installed here")


@pytest.fixture(name="need_program")
def need_program_fixture() -> Callable[[str], str]:
    """:func:`need_program`, for tests that would rather be handed it."""
    return need_program


def _programs_missing(reports: list[Any]) -> Counter[str]:
    missing: Counter[str] = Counter()
    for report in reports:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if _LEFT_OUT in text:
            missing[text.split(_LEFT_OUT, 1)[1].split(",", 1)[0]] += 1
    return missing


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at the end how many tests were left out, and for want of what."""
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section("left out")
    for name, count in sorted(_programs_missing(skipped).items()):
        terminalreporter.line(f"{count} for want of {name}")
    terminalreporter.line(f"{len(skipped)} tests left out")

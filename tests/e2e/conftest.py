"""Farms for these tests: made with what a test asks for, stopped behind it, and told about where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.balancers import Balancer
from tests.support.children import Children
from tests.support.chromium import context, page
from tests.support.farm import Applications, ProcessFarm, StickySettings, plain_applications

__all__ = ["context", "page"]

_REPORTS = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Keep a test's report where the fixtures find it."""
    report = yield
    item.stash.setdefault(_REPORTS, {})[report.when] = report
    return report


@pytest.fixture
def new_farm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., ProcessFarm]]:
    """Starts a farm: ``new_farm(balancer, sticky, applications=None, **more of ProcessFarm)``."""
    ports, farms = ReservedPorts(), []

    def start(
        balancer: Balancer, sticky: StickySettings, applications: Applications | None = None, **more: Any
    ) -> ProcessFarm:
        children = Children(tmp_path)
        given = applications or plain_applications(children, ports, tmp_path)
        farm = ProcessFarm(tmp_path, children, ports, given, balancer, sticky, **more)
        farms.append(farm)
        farm.start()
        return farm

    try:
        yield start
    finally:
        reports = request.node.stash.get(_REPORTS, {})
        if not all(report.passed for report in reports.values()):
            print("\n".join(farm.children.last_words() for farm in farms))
        for farm in farms:
            farm.stop()
        ports.release()

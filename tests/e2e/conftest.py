"""Farms for these tests: made with what a test asks for, and stopped behind it."""

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


@pytest.fixture
def new_farm(tmp_path: Path) -> Iterator[Callable[..., ProcessFarm]]:
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
        for farm in farms:
            farm.stop()
        ports.release()

"""The share of the node's limits and tasks that each of several processes has."""

from __future__ import annotations

import pytest

from lbcompanion.node.wiring import worker_limits
from lbcompanion.settings import LimitsTable


@pytest.mark.parametrize(("most", "workers", "each"), [(0, 4, 0), (64, 4, 16), (10, 4, 2), (2, 4, 1), (5, 1, 5)])
def test_processes_share_the_cap(most: int, workers: int, each: int) -> None:
    assert worker_limits(LimitsTable(upstream_connections=most), workers).upstream_connections == each

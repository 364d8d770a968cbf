"""The figures of several processes, reported by one."""

from __future__ import annotations

import json

import pytest

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.metrics.status import NodeStatus, from_json, sum_counters, sum_gauges, to_json, without_gauges


def counted(requests: int, **refused: int) -> Counters:
    counters = Counters(requests=requests, connections_open=1, capturing_bytes=10)
    counters.refused.update({int(status.removeprefix("s")): count for status, count in refused.items()})
    return counters


def test_figures_survive_json() -> None:
    node_status = NodeStatus("n1", counted(3, s400=2), {"held": ("Copies held", 4.0)}, False, ["the node is leaving"])
    assert from_json(json.loads(json.dumps(to_json(node_status)))) == node_status


def test_what_an_other_version_counts_is_left_out() -> None:
    told = to_json(NodeStatus("n1", counted(3)))
    told["counters"]["unheard_of"] = 7
    assert from_json(told).counters == counted(3)


@pytest.mark.parametrize("told", [{}, {"node": "n1"}, {"node": "n1", "counters": {}, "gauges": {"held": ["x"]}}])
def test_invalid_figures(told: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_json(told)


def test_counters_and_gauges_are_added() -> None:
    total = sum_counters([counted(3, s400=2), counted(4, s400=1, s431=1)])
    assert (total.requests, total.refused) == (7, {400: 3, 431: 1})
    gauges = sum_gauges(NodeStatus("n1", Counters(), {"held": ("Copies held", value)}) for value in (1.0, 2.0))
    assert gauges == {"held": ("Copies held", 3.0)}


def test_of_a_process_that_is_gone_the_counts_stay() -> None:
    left = without_gauges(counted(3))
    assert (left.requests, left.connections_open, left.capturing_bytes) == (3, 0, 0)

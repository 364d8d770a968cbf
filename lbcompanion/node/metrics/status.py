"""The state of one process of a node, and the sum over several processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from lbcompanion.node.metrics.counters import Counters

Gauges = Mapping[str, tuple[str, float]]

#: The gauges that each process of a node reports in addition to :class:`Counters`: name to help text.
GAUGES: Mapping[str, str] = {
    "ready": "1 where balancers should send visitors here",
    "upstream_open": "connections to the application",
    "upstream_idle": "idle connections to the application",
    "upstream_workers": "connections that the application serves at a time, as estimated; 0: unknown",
    "upstream_waiting": "requests that wait for a connection to the application",
    "pages_pending": "pages on their way into the store",
    "notices_waiting": "notices that wait for the crawler",
    "notices_waiting_bytes": "bytes of these notices",
    "notices_dropped": "notices that were dropped for those of others, since the start",
}


def with_help_texts(values: Mapping[str, float]) -> Gauges:
    """Gauges with their help texts.

    :raises ValueError: unless there is a value for each name of :data:`GAUGES`, and no other.
    """
    if values.keys() != GAUGES.keys():
        raise ValueError(f"the gauges are {sorted(values)}, and not those of GAUGES")
    return {name: (text, float(values[name])) for name, text in GAUGES.items()}


@attrs.frozen
class NodeStatus:
    """The state of a node, or of one of its processes.

    :ivar gauges: name to help text and current value.
    :ivar ready: whether balancers should send visitors here.
    :ivar problems: the current problems, in words.
    :ivar workers: a JSON object for each worker; empty for a node of one process.
    :ivar intake: the crawler that took the last notices; empty if there is none, or another process sends them.
    """

    node: str
    counters: Counters
    gauges: Gauges = attrs.Factory(dict)
    ready: bool = True
    problems: list[str] = attrs.Factory(list)
    workers: list[dict[str, Any]] = attrs.Factory(list)
    intake: str = ""


def to_json(node_status: NodeStatus) -> dict[str, Any]:
    """The status as JSON, to be read by :func:`from_json`; without the latest decisions."""
    counters = {}
    for name, value in _counter_fields(node_status.counters):
        counters[name] = list(value.items()) if isinstance(value, Counter) else value
    return {
        "node": node_status.node,
        "counters": counters,
        "gauges": {name: list(gauge) for name, gauge in node_status.gauges.items()},
        "ready": node_status.ready,
        "wrong": node_status.problems,
        "intake": node_status.intake,
    }


def from_json(payload: Mapping[str, Any]) -> NodeStatus:
    """Read the JSON of :func:`to_json`.

    :raises ValueError: (KeyError, TypeError) for any other JSON.
    """
    counters = Counters()
    for name, value in payload["counters"].items():
        if hasattr(counters, name):
            setattr(counters, name, Counter(dict(map(tuple, value))) if isinstance(value, list) else value)
    gauges = {name: (str(text), float(value)) for name, (text, value) in payload["gauges"].items()}
    intake = str(payload.get("intake", ""))  # a process of an earlier version does not say
    return NodeStatus(payload["node"], counters, gauges, bool(payload["ready"]), list(payload["wrong"]), intake=intake)


def sum_counters(counters: Iterable[Counters]) -> Counters:
    """The sum of several counters."""
    total = Counters()
    for part in counters:
        for name, value in _counter_fields(part):
            current = getattr(total, name)
            if isinstance(current, Counter):
                current.update(value)
            else:
                setattr(total, name, current + value)
    return total


def without_gauges(counters: Counters) -> Counters:
    """The counters of an exited process: its counts stay, its gauges are zero."""
    return attrs.evolve(sum_counters([counters]), connections_open=0, capturing_bytes=0)


def sum_gauges(node_status: Iterable[NodeStatus]) -> dict[str, tuple[str, float]]:
    """The sums of the gauges of several processes."""
    total: dict[str, tuple[str, float]] = {}
    for part in node_status:
        for name, (text, value) in part.gauges.items():
            total[name] = (text, total.get(name, ("", 0.0))[1] + value)
    return total


def _counter_fields(counters: Counters) -> Iterable[tuple[str, Any]]:
    for field in attrs.fields(Counters):
        value = getattr(counters, field.name)
        if isinstance(value, int | float | Counter):
            yield field.name, value

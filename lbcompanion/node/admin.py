"""The admin listener: health, readiness, metrics, status. For operators and balancers, never for visitors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.web.resource import Resource
from twisted.web.server import Request

from lbcompanion.node.counters import Counters


class NodeMetrics(Collector):
    """Brings the plain counters into the form of Prometheus when asked.

    :param gauges: name to help and value of what is so now.
    """

    def __init__(self, counters: Counters, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All metrics, names beginning with ``lbcompanion_``."""
        c = self._counters
        yield _counter("connections", "visitor connections taken", c.connections)
        yield _counter("connections_refused", "connections over a limit", c.connections_refused)
        yield _counter("connections_worn", "connections closed after requests_per_connection", c.connections_worn)
        yield _counter("requests", "requests read", c.requests)
        yield _labelled("responses", "answers by status", "status", c.responses)
        yield _labelled("requests_refused", "requests that broke a rule, by the status told", "status", c.refused)
        yield _labelled("timeouts", "deadlines that passed", "of", c.timeouts)
        yield _counter("upstream_connections", "connections made to the application", c.upstream_connections)
        yield _counter("upstream_reused", "requests on an idle connection to the application", c.upstream_reused)
        yield _labelled("upstream_errors", "failures of the application", "what", c.upstream_errors)
        yield _counter("pages_captured", "copies kept", c.captured)
        yield _counter("pages_captured_bytes", "bytes of copies kept", c.captured_bytes)
        yield _counter("pages_injected", "pages with the script", c.injected)
        yield _labelled("pages_not_captured", "HTML answers without a copy", "reason", c.not_captured)
        yield _labelled("pages_not_injected", "captured pages without the script", "reason", c.not_injected)
        yield _labelled("failed_open", "errors of the companion that no visitor saw", "where", c.failed_open)
        yield _labelled("fetches", "fetches of copies by result", "result", c.fetches)
        yield _labelled("notices", "notices by what became of them", "what", c.notices)
        yield _counter("tunnels", "connections switched to another protocol", c.tunnels)
        yield GaugeMetricFamily("lbcompanion_connections_open", "visitor connections now", c.connections_open)
        yield GaugeMetricFamily("lbcompanion_capturing_bytes", "memory of copies under way", c.capturing_bytes)
        for name, (text, value) in self._gauges().items():
            yield GaugeMetricFamily(f"lbcompanion_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"lbcompanion_{name}", text, value)


def _labelled(name: str, text: str, label: str, values: Counter[Any]) -> Metric:
    family = CounterMetricFamily(f"lbcompanion_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


class _Page(Resource):
    """One address, answered by a function of no arguments: status, content type, body."""

    isLeaf = True

    def __init__(self, answer: Callable[[], tuple[int, str, bytes]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        status, content_type, body = self._answer()
        request.setResponseCode(status)
        request.setHeader("Content-Type", content_type)
        request.setHeader("Cache-Control", "no-store")
        return body


def admin_site(
    ready: Callable[[], tuple[bool, dict[str, Any]]],
    status: Callable[[], dict[str, Any]],
    collector: NodeMetrics,
) -> Resource:
    """The admin listener's resource.

    :param ready: whether balancers should send visitors here, and what is wrong or right, by name.
    :param status: what ``/status`` tells.
    """
    registry = CollectorRegistry()
    registry.register(collector)

    def readyz() -> tuple[int, str, bytes]:
        is_ready, said = ready()
        return (200 if is_ready else 503), "application/json", _json({"ready": is_ready, **said})

    root = Resource()
    root.putChild(b"healthz", _Page(lambda: (200, "text/plain", b"ok\n")))
    root.putChild(b"readyz", _Page(readyz))
    root.putChild(b"status", _Page(lambda: (200, "application/json", _json(status()))))
    metrics_type = "text/plain; version=0.0.4; charset=utf-8"
    root.putChild(b"metrics", _Page(lambda: (200, metrics_type, generate_latest(registry))))
    return root


def _json(said: dict[str, Any]) -> bytes:
    return json.dumps(said, indent=1, default=str).encode() + b"\n"

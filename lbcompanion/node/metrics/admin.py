"""The admin listener: health, readiness, metrics and status for operators and balancers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.http1.admin_hosts import refusal
from lbcompanion.node.metrics.status import NodeStatus
from lbcompanion.settings import NodeSettings
from lbcompanion.web import QuietSite

#: The prefix of a node's metric names; a crawler's is ``lbcompanion_crawler_``.
_PREFIX = "lbcompanion_node_"


class NodeMetrics(Collector):
    """Exports the counters and gauges to Prometheus."""

    def __init__(self, node_status: NodeStatus) -> None:
        self._counters = node_status.counters
        self._gauges = node_status.gauges

    def collect(self) -> Iterator[Metric]:
        """All metrics; their names begin with ``lbcompanion_node_``."""
        c = self._counters
        yield _counter("connections", "visitor connections taken", c.connections)
        yield _counter("connections_refused", "connections over a limit", c.connections_refused)
        yield _counter("connections_worn", "connections closed after requests_per_connection", c.connections_worn)
        yield _counter("requests", "requests read", c.requests)
        yield _labelled("responses", "answers by status", "status", c.responses)
        yield _counter("usual_responses", "responses on the usual path", c.usual_responses)
        yield _labelled("requests_refused", "refused requests, by the status of the response", "status", c.refused)
        yield _labelled("timeouts", "deadlines that passed", "of", c.timeouts)
        yield _counter("upstream_connections", "connections made to the application", c.upstream_connections)
        yield _counter("upstream_reused", "requests on an idle connection to the application", c.upstream_reused)
        yield _counter("upstream_waited", "requests that waited for a connection to the application", c.upstream_waited)
        yield _counter("upstream_made_way", "connections closed for new ones without an answer", c.upstream_made_way)
        yield _counter("upstream_bound", "connections to the application tied to one visitor", c.upstream_bound)
        yield _labelled("upstream_errors", "failures of the application", "what", c.upstream_errors)
        yield _counter("pages_captured", "copies kept", c.captured)
        yield _counter("pages_captured_bytes", "bytes of copies kept", c.captured_bytes)
        yield _counter("pages_injected", "pages with the script", c.injected)
        yield _labelled("pages_not_captured", "HTML answers without a copy", "reason", c.not_captured)
        yield _labelled("pages_not_injected", "captured pages without the script", "reason", c.not_injected)
        yield _labelled("failed_open", "errors of the companion that no visitor saw", "where", c.failed_open)
        yield _labelled("fetches", "fetches of copies by result", "result", c.fetches)
        yield _labelled("notices", "notices by what became of them", "what", c.notices)
        yield _labelled("copies_handed", "copies that changed nodes when one stopped", "what", c.copies_transferred)
        yield _labelled(
            "page_cookies_dropped",
            "pages whose cookies a limit kept out of memory, by reason",
            "reason",
            c.page_cookies_dropped,
        )
        yield _counter("tunnels", "connections switched to another protocol", c.tunnels)
        yield _gauge("connections_open", "visitor connections now", c.connections_open)
        yield _gauge("capturing_bytes", "memory of copies under way", c.capturing_bytes)
        for name, (text, value) in self._gauges.items():
            yield _gauge(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}{name}", text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, value)


def _labelled(name: str, text: str, label: str, values: Counter[Any]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


class _FunctionResource(Resource):
    """A resource that is answered by a function, which returns a Deferred of status, content type and body."""

    isLeaf = True

    def __init__(self, answer: Callable[[], Deferred[tuple[int, str, bytes]]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render_GET(self, request: Request) -> int:
        """Answer when the Deferred fires."""
        disconnected: list[object] = []
        request.notifyFinish().addBoth(disconnected.append)

        def written(response: tuple[int, str, bytes]) -> None:
            if not disconnected:
                status, content_type, body = response
                request.setResponseCode(status)
                request.setHeader("Content-Type", content_type)
                request.setHeader("Cache-Control", "no-store")
                request.write(body if request.method != b"HEAD" else b"")
                request.finish()

        def failed(failure: Failure) -> None:
            written((500, "text/plain", f"{failure.type.__name__ if failure.type else 'failed'}\n".encode()))

        self._answer().addCallback(written).addErrback(failed)
        return NOT_DONE_YET


class _Refusal(Resource):
    """The response to a request whose Host is not a name of this listener."""

    isLeaf = True

    def __init__(self, status: int, why: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._status = status
        self._body = _json({"title": why, "status": status})

    def render(self, request: Request) -> bytes:
        """Refuse."""
        request.setResponseCode(self._status, HTTPStatus(self._status).phrase.encode())
        request.setHeader("Content-Type", "application/problem+json")
        request.setHeader("Cache-Control", "no-store")
        return self._body


def admin_host_names(settings: NodeSettings) -> frozenset[str]:
    """The host names that a node's admin listener accepts, in addition to IP addresses and ``localhost``.

    They include the names of all nodes, which balancers use in health checks.
    """
    nodes = (settings.node.name, *settings.peers)
    return frozenset({*settings.node.admin_hosts, *(name.lower() for name in nodes)})


def admin_site(
    get_status: Callable[[], Deferred[NodeStatus]], on_readiness_check: Callable[[], None], names: Collection[str] = ()
) -> Site:
    """The admin listener's site.

    :param get_status: returns the current state of the node.
    :param on_readiness_check: called before each answer of ``/readyz``.
    :param names: the accepted host names (:func:`admin_host_names`).
    """

    def readyz() -> Deferred[tuple[int, str, bytes]]:
        on_readiness_check()
        return get_status().addCallback(_readiness)

    root = Resource()
    root.putChild(b"healthz", _FunctionResource(lambda: succeed((200, "text/plain", b"ok\n"))))
    root.putChild(b"readyz", _FunctionResource(readyz))
    root.putChild(b"status", _FunctionResource(lambda: get_status().addCallback(_status)))
    root.putChild(b"metrics", _FunctionResource(lambda: get_status().addCallback(_metrics)))
    return _AdminSite(root, names)


class _AdminSite(QuietSite):
    """Refuses requests whose Host is not a name of this listener."""

    def __init__(self, root: Resource, names: Collection[str]) -> None:
        super().__init__(root)  # type: ignore[no-untyped-call]
        self._names = names

    def getResourceFor(self, request: Request) -> IResource:
        """The resource of a request, or the refusal."""
        refused = refusal(
            lambda name: request.requestHeaders.getRawHeaders(name, []),
            self._names,
            http_1_0=request.clientproto == b"HTTP/1.0",
        )
        if refused is not None:
            return _Refusal(*refused)
        found: IResource = super().getResourceFor(request)  # type: ignore[no-untyped-call]
        return found


def _readiness(node_status: NodeStatus) -> tuple[int, str, bytes]:
    payload = {"ready": node_status.ready, "wrong": node_status.problems}
    return (200 if node_status.ready else 503), "application/json", _json(payload)


def _metrics(node_status: NodeStatus) -> tuple[int, str, bytes]:
    registry = CollectorRegistry()
    registry.register(NodeMetrics(node_status))
    return 200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(registry)


def _status(node_status: NodeStatus) -> tuple[int, str, bytes]:
    counters = node_status.counters
    payload: dict[str, Any] = {
        "node": node_status.node,
        "ready": node_status.ready,
        "connections": counters.connections_open,
        "requests": counters.requests,
        "captured": counters.captured,
        "injected": counters.injected,
        "not_captured": dict(counters.not_captured),
        "not_injected": dict(counters.not_injected),
        "failed_open": dict(counters.failed_open),
        "notices": dict(counters.notices),
        "intake": node_status.intake or None,
        "fetches": dict(counters.fetches),
        "handed": dict(counters.copies_transferred),
        "wrong": node_status.problems,
    }
    if node_status.workers:
        payload["workers"] = node_status.workers
    return 200, "application/json", _json(payload)


def _json(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, indent=1, default=str).encode() + b"\n"

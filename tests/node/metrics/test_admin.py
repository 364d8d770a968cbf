from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import succeed

from lbcompanion.node.metrics.admin import admin_host_names, admin_site
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.metrics.status import NodeStatus
from tests.support.host_spellings import ALLOWED, REFUSED, Case, answer_of
from tests.support.in_memory_node import settings


def site(**tables: Any) -> tuple[Any, list[str]]:
    """A node's admin listener, and each time that its readiness was asked for."""
    asked: list[str] = []
    node = settings("n9", node={"admin_hosts": ("crawler.internal",)}, **tables)
    node_status = NodeStatus("n9", Counters())
    return admin_site(lambda: succeed(node_status), lambda: asked.append("readyz"), admin_host_names(node)), asked


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_names_another_host_is_refused(case: Case) -> None:
    listener, asked = site()
    for path in ("/healthz", "/readyz", "/metrics", "/status", "/nothing"):
        for method in (b"GET", b"POST"):
            status, head, body = answer_of(listener, path, case, method)
            assert status == case.status
            assert head["content-type"] == "application/problem+json"
            assert json.loads(body)["status"] == case.status
    assert answer_of(listener, "/status", case, b"HEAD")[2] == b""
    assert asked == []


@pytest.mark.parametrize("case", ALLOWED, ids=str)
def test_what_names_this_one_is_answered(case: Case) -> None:
    listener, asked = site()
    for path in ("/healthz", "/readyz", "/metrics", "/status"):
        assert answer_of(listener, path, case)[0] == 200
    assert asked == ["readyz"]


def test_the_names_of_nodes_are_known() -> None:
    listener, _ = site(peers={"N-2": "http://10.0.0.2:8080"})
    for host, status in ((b"n9", 200), (b"N9:9101", 200), (b"n-2", 200), (b"n3", 421)):
        assert answer_of(listener, "/readyz", Case(status, (b"Host: " + host,)))[0] == status


def test_every_metric_has_the_prefix() -> None:
    node_status = NodeStatus("n9", Counters(), {"ready": ("1 where ready", 1.0)})
    listener = admin_site(lambda: succeed(node_status), lambda: None)
    lines = answer_of(listener, "/metrics", ALLOWED[0])[2].decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert "lbcompanion_node_ready 1.0" in samples
    assert [line for line in samples if not line.startswith("lbcompanion_node_")] == []

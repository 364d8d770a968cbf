from __future__ import annotations

import pytest

from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.derived_cookies import derive_cookie, identifies_node, may_be_tried
from lbcompanion.sticky.dialects import NodeFacts, by_name
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, RouteState

AUTO = CookieReader(StickyTable())
ADDRESSES = {"n1": "10.0.0.11:8080", "n2": "10.0.0.12:8080"}


def facts(node: str) -> NodeFacts:
    return NodeFacts(node, ADDRESSES.get(node, ""))


def route(node: str, *cookies: RoutingCookie, state: RouteState = RouteState.PROVEN) -> Route:
    return Route("main", node, cookies, "", state, 0.0)


def forged(dialect: str, node: str, name: str) -> RoutingCookie:
    cookie = by_name(dialect).compute(facts(node), (name,))
    assert cookie is not None
    return cookie


def test_a_rule_that_makes_a_proven_cookie_makes_others() -> None:
    learnt = route("n1", RoutingCookie("ROUTEID", ".n1"))
    assert derive_cookie([learnt], AUTO, facts, "n2") == (RoutingCookie("ROUTEID", ".n2"),)


def test_by_address() -> None:
    learnt = route("n1", forged("envoy", "n1", "sess"))
    named = CookieReader(StickyTable(cookies=("sess",)))
    assert derive_cookie([learnt], named, facts, "n2") == (forged("envoy", "n2", "sess"),)
    assert derive_cookie([learnt], named, facts, "n9") == ()


def test_several_tiers_need_a_rule_each() -> None:
    outer = RoutingCookie("ROUTEID", ".n1")
    learnt = route("n1", outer, RoutingCookie("opaque", "7f"))
    assert derive_cookie([learnt], AUTO, facts, "n2") == ()


@pytest.mark.parametrize(
    "learnt",
    [
        route("n1", RoutingCookie("ROUTEID", ".web1")),
        route("n1", RoutingCookie("ROUTEID", ".n1"), state=RouteState.CANDIDATE),
        route("n2", RoutingCookie("ROUTEID", ".n2")),
        route("n1"),
    ],
)
def test_what_shows_no_rule(learnt: Route) -> None:
    assert derive_cookie([learnt], AUTO, facts, "n2") == ()


@pytest.mark.parametrize(
    ("dialect", "name", "value", "tells"),
    [
        ("haproxy-insert", "SRV", "n1", True),
        ("jvmroute", "JSESSIONID", ".n1", True),
        ("nginx-sticky", "srv", "3fa9a8ccac67ea9d9aca6123ed2a6c5a", True),
        ("nginx-hash", "key", "visitor-17", False),
        ("haproxy-table", "sess", "8f2c9a", False),
        ("generic", "where", "rack-4", False),
        ("auto", "anything", "n1", False),
        ("auto", "ROUTEID", ".n1", True),
        ("auto", "srv_id", "3fa9a8ccac67ea9d9aca6123ed2a6c5a", False),
    ],
)
def test_whose_value_it_is(dialect: str, name: str, value: str, tells: bool) -> None:
    reader = CookieReader(StickyTable(dialect, (name,), (name,)))
    assert identifies_node(reader, [RoutingCookie(name, value)]) is tells
    assert not identifies_node(reader, [])


@pytest.mark.parametrize(
    ("name", "value", "tried"),
    [
        *(("SRV", "n1", True), ("where", "10.0.0.11:8080", True), ("odd", "web-01.example.com", True)),
        *(("sid", "n1", False), ("PHPSESSID", "n1", False), ("auth", "n1", False)),
        *(
            ("cart", "x7Gk29ab", False),
            ("odd", "9f86d081884c7d659a2feaa0c55ad015", False),
            ("odd", "0fVhR.2cUd", False),
        ),
        *(("allowed", "n1", False), ("SRV", "n" * 600, False)),
    ],
)
def test_what_may_be_tried_if_many_sent_it(name: str, value: str, tried: bool) -> None:
    assert may_be_tried([RoutingCookie(name, value)], ["allowed"]) is tried
    assert not may_be_tried([RoutingCookie(name, value), RoutingCookie("sid", "n1")])
    assert not may_be_tried([])

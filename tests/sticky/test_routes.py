from __future__ import annotations

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import MISLED_SECONDS, UP_SECONDS, Route, Routes, RouteState

COOKIES = (RoutingCookie("SRV", "n1"),)
OTHER = (RoutingCookie("SRV", "n9"),)


def route(state: RouteState = RouteState.CANDIDATE) -> Route:
    return Route("main", "n1", COOKIES, "haproxy-insert", state, 10.0)


def test_a_candidate_is_proven_by_its_own_cookies_only() -> None:
    table = Routes([route()])
    assert table.proved("main", "n1", OTHER, 20.0) is None
    proven = table.proved("main", "n1", COOKIES, 20.0)
    assert proven is not None
    assert (proven.state, proven.proven_at, proven.learnt_at) == (RouteState.PROVEN, 20.0, 10.0)
    assert table.of("main", "n1") == proven


def test_a_stale_route_keeps_when_it_was_proven() -> None:
    table = Routes([route()])
    table.proved("main", "n1", COOKIES, 20.0)
    assert table.went_stale("main", "n1", OTHER) is None
    stale = table.went_stale("main", "n1", COOKIES)
    assert stale is not None
    assert (stale.state, stale.proven_at) == (RouteState.STALE, 20.0)


def test_a_node_is_up_for_a_while_after_an_answer() -> None:
    table = Routes()
    assert not table.is_up("main", "n1", 0.0)
    table.saw("main", "n1", 100.0)
    assert table.is_up("main", "n1", 100.0 + UP_SECONDS)
    assert not table.is_up("main", "n1", 100.1 + UP_SECONDS)
    assert not table.is_up("main", "n1", 99.0)
    assert not table.is_up("other", "n1", 100.0)
    table.went_down("main", "n1")
    assert not table.is_up("main", "n1", 100.0)
    assert table.nodes("main") == {"n1"}


def test_misleading_cookies_are_forgiven_in_time() -> None:
    table = Routes()
    table.mislead("main", "n1", COOKIES, 5.0)
    assert table.misled("main", "n1", COOKIES, 5.0)
    assert not table.misled("main", "n2", COOKIES, 5.0)
    assert not table.misled("main", "n1", OTHER, 5.0)
    assert not table.misled("main", "n1", COOKIES, 5.0 + MISLED_SECONDS)


def test_the_memory_of_misleading_cookies_is_bounded() -> None:
    table = Routes()
    for number in range(10_000):
        table.mislead("main", "n1", (RoutingCookie("SRV", str(number)),), 5.0)
    assert len(table._misled) <= 4096
    assert table.misled("main", "n1", (RoutingCookie("SRV", "9999"),), 5.0)


def test_no_value_is_shown() -> None:
    assert "secret-value" not in repr(Route("s", "n", (RoutingCookie("a", "secret-value"),), "", RouteState.STALE, 0.0))


def test_in_order() -> None:
    table = Routes()
    for site, node in (("b", "n1"), ("a", "n2"), ("a", "n1")):
        table.learnt(Route(site, node, (), "", RouteState.PROVEN, 0.0))
    assert [(each.site, each.node) for each in table] == [("a", "n1"), ("a", "n2"), ("b", "n1")]

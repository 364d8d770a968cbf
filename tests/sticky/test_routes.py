from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import (
    ALIVE_SECONDS,
    DOUBT_SECONDS,
    MISLEADING_SECONDS,
    REACHED_SECONDS,
    REFRESH_SECONDS,
    Route,
    Routes,
    RouteState,
    Source,
)

COOKIES = (RoutingCookie("SRV", "n1"),)
OTHER = (RoutingCookie("SRV", "n9"),)


def route(state: RouteState = RouteState.CANDIDATE) -> Route:
    return Route("main", "n1", COOKIES, "haproxy-insert", state, 10.0)


def test_a_candidate_is_proven_by_its_own_cookies_only() -> None:
    table = Routes([route()])
    assert table.mark_proven("main", "n1", OTHER, 20.0) is None
    proven = table.mark_proven("main", "n1", COOKIES, 20.0)
    assert proven is not None
    assert (proven.state, proven.proven_at, proven.learnt_at) == (RouteState.PROVEN, 20.0, 10.0)
    assert table.get("main", "n1") == proven


def test_a_stale_route_keeps_when_it_was_proven() -> None:
    table = Routes([route()])
    table.mark_proven("main", "n1", COOKIES, 20.0)
    assert table.mark_stale("main", "n1", OTHER) is None
    stale = table.mark_stale("main", "n1", COOKIES)
    assert stale is not None
    assert (stale.state, stale.proven_at) == (RouteState.STALE, 20.0)


def test_a_node_is_alive_for_a_while_after_an_answer() -> None:
    table = Routes()
    assert not table.is_alive("main", "n1", 0.0)
    table.mark_alive("main", "n1", 100.0)
    assert table.is_alive("main", "n1", 100.0 + ALIVE_SECONDS)
    assert not table.is_alive("main", "n1", 100.1 + ALIVE_SECONDS)
    assert not table.is_alive("main", "n1", 99.0)
    assert not table.is_alive("other", "n1", 100.0)


def test_that_a_node_is_alive_does_not_say_that_visitors_are_sent_to_it() -> None:
    table = Routes()
    table.mark_alive("main", "n1", 100.0)
    assert not table.is_reached("main", "n1", 100.0)
    table.mark_reached("main", "n1", 100.0)
    assert table.is_reached("main", "n1", 100.0 + REACHED_SECONDS)
    assert not table.is_reached("main", "n1", 100.1 + REACHED_SECONDS)
    assert not table.is_reached("main", "n1", 99.0)
    assert not table.is_reached("main", "n2", 100.0)
    assert table.is_reached("main", "n1", 100.5, since=100.0)
    assert not table.is_reached("main", "n1", 100.5, since=100.1)


_EVENTS = st.lists(st.tuples(st.sampled_from(["alive", "reached", "missed"]), st.integers(0, 12)), max_size=12)


@given(_EVENTS, st.integers(0, 12))
def test_only_a_replay_that_is_newer_than_the_last_miss_counts(events: list[tuple[str, int]], now: int) -> None:
    table = Routes()
    mark = {"alive": table.mark_alive, "reached": table.mark_reached, "missed": table.mark_missed}
    when = {"alive": -1, "reached": -1, "missed": -1}
    for event, at in sorted(events, key=lambda each: each[1]):
        mark[event]("main", "n1", float(at))
        when[event] = at
    newest = when["reached"] > when["missed"] and 0 <= now - when["reached"] <= REACHED_SECONDS
    assert table.is_reached("main", "n1", float(now)) == newest


def test_the_last_miss_counts_although_the_request_was_sent_before_it() -> None:
    table = Routes()
    table.mark_missed("main", "n1", 101.0)
    table.mark_reached("main", "n1", 100.5)  # sent before the miss was known, answered after it
    assert not table.is_reached("main", "n1", 101.5)
    table.mark_reached("main", "n1", 101.2)
    assert table.is_reached("main", "n1", 101.5)


def test_misleading_cookies_are_forgiven_in_time() -> None:
    table = Routes()
    table.mark_misleading("main", "n1", COOKIES, 5.0)
    assert table.is_misleading("main", "n1", COOKIES, 5.0)
    assert not table.is_misleading("main", "n2", COOKIES, 5.0)
    assert not table.is_misleading("main", "n1", OTHER, 5.0)
    assert not table.is_misleading("main", "n1", COOKIES, 5.0 + MISLEADING_SECONDS)


@pytest.mark.slow
def test_the_memory_of_misleading_cookies_is_bounded() -> None:
    table = Routes()
    for number in range(10_000):
        table.mark_misleading("main", "n1", (RoutingCookie("SRV", str(number)),), 5.0)
    assert len(table._misleading) <= 4096
    assert table.is_misleading("main", "n1", (RoutingCookie("SRV", "9999"),), 5.0)


def test_no_value_is_shown() -> None:
    assert "secret-value" not in repr(Route("s", "n", (RoutingCookie("a", "secret-value"),), "", RouteState.STALE, 0.0))


def test_a_guess_takes_an_empty_place_only() -> None:
    table = Routes()
    first = table.add_candidate(route(), 5.0)
    assert first == route() == table.get("main", "n1")
    other = evolve(route(), cookies=OTHER)
    assert table.add_candidate(other, 5.0) is None
    assert table.add_candidate(other, 5.0) is None
    assert table.candidates("main", "n1") == (other,)
    table.drop_candidate(other)
    assert table.candidates("main", "n1") == ()
    table.mark_misleading("main", "n1", OTHER, 5.0)
    assert table.add_candidate(other, 6.0) is None
    assert table.candidates("main", "n1") == ()


def test_what_is_anothers_is_no_guess() -> None:
    table = Routes([evolve(route(RouteState.STALE), proven_at=3.0)])
    assert table.add_candidate(evolve(route(), node="n2"), 5.0) is None
    assert table.get("main", "n2") is None
    assert table.add_candidate(evolve(route(), node="n2", site="other"), 5.0) is not None


def test_a_proof_forgives() -> None:
    table = Routes()
    table.mark_misleading("main", "n1", COOKIES, 5.0)
    table.put(route(RouteState.PROVEN))
    assert not table.is_misleading("main", "n1", COOKIES, 5.0)


def test_a_route_ends_and_is_refreshed_before() -> None:
    ending = evolve(route(RouteState.PROVEN), learnt_at=0.0, expires_at=60.0)
    table = Routes([ending])
    assert not ending.wants_refresh(44.9)
    assert ending.wants_refresh(45.0)
    assert evolve(ending, expires_at=86400.0).wants_refresh(86400.0 - REFRESH_SECONDS)
    assert not route().wants_refresh(1e12)
    now = table.current("main", "n1", 59.9)
    then = table.current("main", "n1", 60.0)
    assert now is not None
    assert then is not None
    assert (now.state, then.state) == (RouteState.PROVEN, RouteState.STALE)
    assert table.current("main", "n2", 0.0) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hint", "mint", "prove", "stale", "mislead"]),
            st.sampled_from(["n1", "n2", "n3"]),
            st.sampled_from(["a", "b", "c", "d", "e"]),
        ),
        max_size=60,
    )
)
def test_whatever_is_guessed_a_route_that_was_proven_stays(events: list[tuple[str, str, str]]) -> None:
    table, now = Routes(), 0.0
    for what, node, value in events:
        now += 1.0
        cookies = (RoutingCookie("SRV", value),)
        new = Route("main", node, cookies, "", RouteState.CANDIDATE, now, source=Source.TRAFFIC)
        before = {each.node: each for each in table}
        if what == "hint":
            kept = table.add_candidate(new, now)
            assert kept is None or node not in before
            once = {each.node: each for each in before.values() if each.proven_at is not None}
            assert all(table.get("main", each.node) == each for each in once.values())
            assert kept is None or all(each.cookies != cookies for each in once.values())
        elif what == "mint":
            table.put(new)
        elif what == "prove":
            table.mark_proven("main", node, cookies, now)
        elif what == "stale":
            table.mark_stale("main", node, cookies)
        else:
            table.mark_misleading("main", node, cookies, now)
        assert len(table.candidates("main", node)) <= 3
        there = table.get("main", node)
        assert all(there is not None and hint.cookies != there.cookies for hint in table.candidates("main", node))


def test_names_that_lead_elsewhere_are_doubted_for_a_while() -> None:
    table, names = Routes(), (RoutingCookie("JSESSIONID", ".n1"),)
    assert not table.is_doubtful("main", "n1", names, 0.0)
    table.record_replay("main", names, succeeded=False, now=1.0)
    assert not table.is_doubtful("main", "n1", names, 1.0)
    assert table.is_doubtful("main", "n1", names, 1.0, after=1)
    # Whatever their values, whoever's node.
    table.record_replay("main", (RoutingCookie("JSESSIONID", ".n2"),), succeeded=False, now=2.0)
    assert table.is_doubtful("main", "n3", names, 2.0)
    assert not table.is_doubtful("other", "n3", names, 2.0)
    assert not table.is_doubtful("main", "n3", COOKIES, 2.0)
    assert not table.is_doubtful("main", "n3", names, 2.0 + DOUBT_SECONDS)


def test_names_that_mostly_lead_home_are_trusted() -> None:
    table = Routes()
    for _ in range(30):
        table.record_replay("main", COOKIES, succeeded=True, now=1.0)
    for number in range(7):
        table.record_replay("main", COOKIES, succeeded=False, now=2.0)
        assert not table.is_doubtful("main", "n1", COOKIES, 2.0), number
    table.record_replay("main", COOKIES, succeeded=False, now=2.0)
    assert table.is_doubtful("main", "n1", COOKIES, 2.0)


def test_a_cookie_without_what_our_own_route_needs_is_doubted() -> None:
    minted = evolve(route(RouteState.PROVEN), cookies=(RoutingCookie("outer", "a"), RoutingCookie("inner", "b")))
    table = Routes([minted])
    assert table.is_doubtful("main", "n1", (RoutingCookie("outer", "c"),), 0.0)
    assert not table.is_doubtful("main", "n1", (RoutingCookie("inner", "d"), RoutingCookie("outer", "c")), 0.0)
    assert Routes([evolve(minted, source=Source.SESSION)]).is_doubtful(
        "main", "n1", (RoutingCookie("outer", "c"),), 0.0
    )
    for less in (evolve(minted, state=RouteState.STALE), evolve(minted, source=Source.INVENTED)):
        assert not Routes([less]).is_doubtful("main", "n1", (RoutingCookie("outer", "c"),), 0.0)


@pytest.mark.slow
def test_the_memory_of_doubts_is_bounded() -> None:
    table = Routes()
    for number in range(10_000):
        table.record_replay("main", (RoutingCookie(f"c{number}", "x"),), succeeded=False, now=5.0)
    assert len(table._replay_counts) <= 4096


def test_in_order() -> None:
    table = Routes()
    for site, node in (("b", "n1"), ("a", "n2"), ("a", "n1")):
        table.put(Route(site, node, (), "", RouteState.PROVEN, 0.0))
    assert [(each.site, each.node) for each in table] == [("a", "n1"), ("a", "n2"), ("b", "n1")]

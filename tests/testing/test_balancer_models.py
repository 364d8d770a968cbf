from __future__ import annotations

from lbcompanion.testing import balancer_products
from lbcompanion.testing.balancer_models import (
    Choice,
    CookieInsertion,
    NodeStates,
    NoStickiness,
    Prediction,
    StickTable,
    pairs,
)

ALL = NodeStates(("n1", "n2", "n3"))


def test_inserting_sticks_while_the_node_is_up() -> None:
    balancer = CookieInsertion()
    first = balancer.choose([], ALL)
    assert first.set_cookies == (f"SRV={first.node}; path=/",)
    for _ in range(4):
        assert balancer.choose([("SRV", first.node)], ALL) == Choice(first.node)
    left = NodeStates(tuple(name for name in ALL.up if name != first.node))
    moved = balancer.choose([("SRV", first.node)], left)
    assert moved.node in left.up
    assert moved.set_cookies[0].startswith(f"SRV={moved.node};")
    assert balancer.choose([("SRV", "n1")], NodeStates(())) == Choice("")


def test_a_draining_node_takes_its_own_only() -> None:
    node_states = NodeStates(("n2",), frozenset({"n1"}))
    assert CookieInsertion().predict([("SRV", "n1")], node_states) == Prediction(("n1",), True)
    assert CookieInsertion().predict([], node_states) == Prediction(("n2",))


def test_inserting_under_other_names_and_out_of_sight() -> None:
    balancer = CookieInsertion("where", {"n1": "x"}, indirect=True)
    assert balancer.choose([("where", "x")], ALL) == Choice("n1")
    assert balancer.choose([("where", "n1")], NodeStates(("n1",))) == Choice("n1", ("where=x; path=/",))
    assert balancer.cookies_for_node([("where", "x"), ("a", "b")]) == [("a", "b")]
    balancer.rotate({"n1": "y"})
    assert not balancer.predict([("where", "x")], ALL).by_cookie


def test_a_prefix_is_put_before_the_applications_cookie_and_taken_off() -> None:
    balancer = balancer_products.haproxy_prefix("sess")
    assert balancer.cookies_for_visitor("n2", [("sess", "abc"), ("a", "b")]) == [("sess", "n2~abc"), ("a", "b")]
    assert balancer.choose([("sess", "n2~abc")], ALL) == Choice("n2")
    assert balancer.cookies_for_node([("sess", "n2~abc"), ("a", "x~b")]) == [("sess", "abc"), ("a", "x~b")]


def test_two_tiers_need_both_cookies() -> None:
    balancer = balancer_products.haproxy_tiers({"east": ("n1", "n2"), "west": ("n3",)})
    assert balancer.predict([("DC", "east"), ("SRV", "n2")], ALL) == Prediction(("n2",), True)
    assert balancer.predict([("DC", "east")], ALL) == Prediction(("n1", "n2"))
    assert balancer.predict([("SRV", "n2")], ALL) == Prediction(("n2", "n3"))
    first = balancer.choose([], ALL)
    given = [pair for line in first.set_cookies for pair in pairs(line.partition(";")[0])]
    assert balancer.choose(given, ALL) == Choice(first.node)


def test_remembering_binds_a_key_and_binds_it_again() -> None:
    balancer = StickTable()
    assert balancer.choose([], ALL).bound == ""
    first = balancer.choose([("sess", "a")], ALL)
    assert first.bound == "a"
    assert balancer.choose([("sess", "a")], ALL) == Choice(first.node)
    left = NodeStates(tuple(name for name in ALL.up if name != first.node))
    second = balancer.choose([("sess", "a")], left)
    assert second.bound == "a"
    assert balancer.choose([("sess", "a")], ALL) == Choice(second.node)


def test_no_stickiness_goes_round() -> None:
    balancer = NoStickiness()
    assert {balancer.choose([], ALL).node for _ in range(3)} == set(ALL.up)

from __future__ import annotations

from lbcompanion.testing import products
from lbcompanion.testing.sticking import Choice, Foresight, Inserting, NoStickiness, Remembering, Standing, pairs

ALL = Standing(("n1", "n2", "n3"))


def test_inserting_sticks_while_the_node_is_up() -> None:
    balancer = Inserting()
    first = balancer.choose([], ALL)
    assert first.set_cookies == (f"SRV={first.node}; path=/",)
    for _ in range(4):
        assert balancer.choose([("SRV", first.node)], ALL) == Choice(first.node)
    left = Standing(tuple(name for name in ALL.up if name != first.node))
    moved = balancer.choose([("SRV", first.node)], left)
    assert moved.node in left.up
    assert moved.set_cookies[0].startswith(f"SRV={moved.node};")
    assert balancer.choose([("SRV", "n1")], Standing(())) == Choice("")


def test_a_draining_node_takes_its_own_only() -> None:
    standing = Standing(("n2",), frozenset({"n1"}))
    assert Inserting().foresee([("SRV", "n1")], standing) == Foresight(("n1",), True)
    assert Inserting().foresee([], standing) == Foresight(("n2",))


def test_inserting_under_other_names_and_out_of_sight() -> None:
    balancer = Inserting("where", {"n1": "x"}, indirect=True)
    assert balancer.choose([("where", "x")], ALL) == Choice("n1")
    assert balancer.choose([("where", "n1")], Standing(("n1",))) == Choice("n1", ("where=x; path=/",))
    assert balancer.shown([("where", "x"), ("a", "b")]) == [("a", "b")]
    balancer.rotate({"n1": "y"})
    assert not balancer.foresee([("where", "x")], ALL).stuck


def test_a_prefix_is_put_before_the_applications_cookie_and_taken_off() -> None:
    balancer = products.haproxy_prefix("sess")
    assert balancer.answered("n2", [("sess", "abc"), ("a", "b")]) == [("sess", "n2~abc"), ("a", "b")]
    assert balancer.choose([("sess", "n2~abc")], ALL) == Choice("n2")
    assert balancer.shown([("sess", "n2~abc"), ("a", "x~b")]) == [("sess", "abc"), ("a", "x~b")]


def test_two_tiers_need_both_cookies() -> None:
    balancer = products.haproxy_tiers({"east": ("n1", "n2"), "west": ("n3",)})
    assert balancer.foresee([("DC", "east"), ("SRV", "n2")], ALL) == Foresight(("n2",), True)
    assert balancer.foresee([("DC", "east")], ALL) == Foresight(("n1", "n2"))
    assert balancer.foresee([("SRV", "n2")], ALL) == Foresight(("n2", "n3"))
    first = balancer.choose([], ALL)
    given = [pair for line in first.set_cookies for pair in pairs(line.partition(";")[0])]
    assert balancer.choose(given, ALL) == Choice(first.node)


def test_remembering_binds_a_key_and_binds_it_anew() -> None:
    balancer = Remembering()
    assert balancer.choose([], ALL).bound == ""
    first = balancer.choose([("sess", "a")], ALL)
    assert first.bound == "a"
    assert balancer.choose([("sess", "a")], ALL) == Choice(first.node)
    left = Standing(tuple(name for name in ALL.up if name != first.node))
    second = balancer.choose([("sess", "a")], left)
    assert second.bound == "a"
    assert balancer.choose([("sess", "a")], ALL) == Choice(second.node)


def test_no_stickiness_goes_round() -> None:
    balancer = NoStickiness()
    assert {balancer.choose([], ALL).node for _ in range(3)} == set(ALL.up)

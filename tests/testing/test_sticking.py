from __future__ import annotations

from lbcompanion.testing.sticking import Choice, Inserting, NoStickiness, Remembering

ALL = ("n1", "n2", "n3")


def test_inserting_sticks_while_the_node_is_up() -> None:
    balancer = Inserting()
    first = balancer.choose({}, ALL)
    assert first.set_cookie == f"SRV={first.node}; path=/"
    for _ in range(4):
        assert balancer.choose({"SRV": first.node}, ALL) == Choice(first.node)
    left = [name for name in ALL if name != first.node]
    moved = balancer.choose({"SRV": first.node}, left)
    assert moved.node in left
    assert moved.set_cookie.startswith(f"SRV={moved.node};")
    assert balancer.choose({"SRV": "n1"}, ()) == Choice("")


def test_inserting_under_other_names_and_out_of_sight() -> None:
    balancer = Inserting("where", {"n1": "x"}, indirect=True)
    assert balancer.choose({"where": "x"}, ALL) == Choice("n1", hidden="where")
    assert balancer.choose({"where": "n1"}, ("n1",)) == Choice("n1", "where=x; path=/", "where")


def test_remembering_binds_a_key_and_binds_it_anew() -> None:
    balancer = Remembering()
    assert balancer.choose({}, ALL).bound == ""
    first = balancer.choose({"sess": "a"}, ALL)
    assert first.bound == "a"
    assert balancer.choose({"sess": "a"}, ALL) == Choice(first.node)
    left = [name for name in ALL if name != first.node]
    second = balancer.choose({"sess": "a"}, left)
    assert second.bound == "a"
    assert balancer.choose({"sess": "a"}, ALL) == Choice(second.node)


def test_no_stickiness_goes_round() -> None:
    balancer = NoStickiness()
    assert {balancer.choose({}, ALL).node for _ in range(3)} == set(ALL)

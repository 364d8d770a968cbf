from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.node_cookie_values import LEAST_VISITORS, NodeCookieValues

#: Notices: the node of the page, the visitor, the value of the cookie.
Notices = list[tuple[str, str, str]]


def noted(notices: Notices, name: str = "SRV") -> NodeCookieValues:
    values = NodeCookieValues()
    for number, (node, visitor, value) in enumerate(notices):
        values.note("main", node, visitor, f"token{number}", [(name, value)])
    return values


def belongs(values: NodeCookieValues, node: str, value: str) -> bool:
    return values.belongs_to_node("main", node, RoutingCookie("SRV", value))


def test_a_value_of_several_visitors_of_one_node() -> None:
    values = noted([("n1", "ann", "a"), ("n1", "bob", "a"), ("n2", "eve", "b")])
    assert belongs(values, "n1", "a")
    assert not belongs(values, "n2", "a")
    assert not belongs(values, "n2", "b")
    assert not values.belongs_to_node("other", "n1", RoutingCookie("SRV", "a"))
    assert not values.belongs_to_node("main", "n1", RoutingCookie("other", "a"))


def test_many_pages_of_one_visitor_are_one_visitor() -> None:
    assert not belongs(noted([("n1", "ann", "a")] * 9), "n1", "a")
    assert not belongs(noted([("n1", "", "a")] * 9), "n1", "a")


def test_many_notices_of_one_page_are_one() -> None:
    values = NodeCookieValues()
    for visitor in ("ann", "bob", "eve"):
        values.note("main", "n1", visitor, "the same token", [("SRV", "a")])
    assert not belongs(values, "n1", "a")


def test_notices_of_other_nodes_do_not_keep_a_value_from_being_tried() -> None:
    """Visitors may have been moved, and notices can be forged; replays tell whose value it is."""
    values = noted(
        [("n1", f"v{number}", "a") for number in range(2)] + [("n2", f"w{number}", "a") for number in range(30)]
    )
    assert belongs(values, "n1", "a")
    assert not belongs(values, "n3", "a")


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2"]), st.integers(0, 5)), max_size=40), st.integers(0, 3))
def test_a_session_is_never_a_nodes(views: list[tuple[str, int]], places: int) -> None:
    """Each visitor has a value of his own; some of them come from several places."""
    notices = [
        (node, f"visitor{number} at {place if number == 0 else 0}", f"session{number}")
        for node, number in views
        for place in range(places + 1)
    ]
    values = noted(notices)
    for number in range(1, 6):
        for node in ("n1", "n2"):
            assert not belongs(values, node, f"session{number}")
    others = {value for _, _, value in notices} - {"session0"}
    if len(others) > 1:
        assert not belongs(values, "n1", "session0")


@pytest.mark.slow
def test_it_is_bounded() -> None:
    values = NodeCookieValues()
    for number in range(3000):
        values.note("main", "n1", f"v{number}", f"t{number}", [("SRV", f"junk{number}"), (f"name{number}", "a")])
        values.note("main", "n1", f"v{number}", f"t{number}", [("SRV", "a" * 600), ("one", "a")])
    kept = values._values
    assert len(kept) <= 64
    assert sum(len(by_value) for by_value in kept.values()) <= 64 * 256
    assert max(len(each) for by_value in kept.values() for one in by_value.values() for each in one.values()) <= 32
    assert LEAST_VISITORS <= 32

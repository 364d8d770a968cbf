"""Rows of copies."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.stores.remote import Request
from lbcompanion.stores.sql import group_by_verb

VERBS = st.sampled_from(["put", "find", "sent", "drop", "mark", "sweep", "stats"])
ASKED = st.lists(st.tuples(VERBS, st.sampled_from("abc")), max_size=30)


@given(ASKED)
def test_groups_keep_the_order_for_each_copy(asked: list[tuple[Any, str]]) -> None:
    requests = [Request(verb, 0.0, "" if verb in ("sweep", "stats") else token) for verb, token in asked]
    groups = group_by_verb(requests)
    assert sorted(place for group in groups for place in group) == list(range(len(requests)))
    assert all(len({requests[place].verb for place in group}) == 1 for group in groups)
    at = {place: number for number, group in enumerate(groups) for place in group}
    for later in range(len(requests)):
        for earlier in range(later):
            one, other = requests[earlier], requests[later]
            if "" in (one.token, other.token):
                assert at[earlier] < at[later]
            elif one.token == other.token:
                assert at[earlier] <= at[later]
                assert at[earlier] < at[later] or one.verb == other.verb


def test_groups_reach_over_others() -> None:
    asked = [("put", "a"), ("find", "b"), ("put", "c"), ("find", "a"), ("drop", "b"), ("put", "b"), ("find", "c")]
    assert group_by_verb([Request(verb, 0.0, token) for verb, token in asked]) == [[0, 2], [1, 3, 6], [4], [5]]  # type: ignore[arg-type]

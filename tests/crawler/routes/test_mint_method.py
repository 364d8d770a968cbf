"""How often a campaign asks at most, and with which means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.routes.mint_method import MOST_PROBES, Means, Plan, budget


@pytest.mark.parametrize(("nodes", "probes"), [(1, 13), (3, 27), (10, 98), (1000, MOST_PROBES)])
def test_budget(nodes: int, probes: int) -> None:
    assert budget(nodes) == probes


@given(st.booleans(), st.lists(st.sampled_from([True, False, None]), max_size=60))
def test_the_means_become_bolder_only_in_vain(has_name: bool, answers: list[bool | None]) -> None:
    plan, order = Plan(has_name), list(Means)
    sessions = 0
    for answer in answers:
        if plan.exhausted:
            break
        before = plan.means
        sessions += before is Means.SESSION
        plan.came_of_it(answer)
        assert order.index(plan.means) >= order.index(before)
        assert plan.means is before or not answer
        assert has_name or plan.means is not Means.INVENTED
    assert sessions <= 24

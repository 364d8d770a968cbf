"""How often a campaign asks at most, and with which means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.routes.mint_method import MAX_PROBES, MintMethod, MintPlan, probe_budget


@pytest.mark.parametrize(("nodes", "probes"), [(1, 13), (3, 27), (10, 98), (1000, MAX_PROBES)])
def test_budget(nodes: int, probes: int) -> None:
    assert probe_budget(nodes) == probes


@given(st.booleans(), st.lists(st.sampled_from([True, False, None]), max_size=60))
def test_the_means_become_bolder_only_in_vain(knows_cookie_name: bool, answers: list[bool | None]) -> None:
    plan, order = MintPlan(knows_cookie_name), list(MintMethod)
    sessions = 0
    for answer in answers:
        if plan.exhausted:
            break
        before = plan.method
        sessions += before is MintMethod.SESSION
        plan.record_result(proven=answer)
        assert order.index(plan.method) >= order.index(before)
        assert plan.method is before or not answer
        assert knows_cookie_name or plan.method is not MintMethod.INVENTED
    assert sessions <= 24

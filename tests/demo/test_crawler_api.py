"""When a visit is good."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.demo import report
from tests.support.demo_visits import GOOD, LOST, RECORDING, SERVED, VISIT


@pytest.mark.parametrize(
    ("checked", "word"),
    [
        (LOST, "gone"),
        (evolve(GOOD, archived_sha256="bb"), "differ"),
        (evolve(GOOD, visit=evolve(VISIT, sha256="bb")), "more than the tag"),
        (evolve(GOOD, recording={**RECORDING, "answered_by": "n1"}), "another node"),
        (evolve(GOOD, served=evolve(SERVED, node="n1")), "another node"),
        (evolve(GOOD, served=None), "no such page"),
        (evolve(GOOD, recording={}), "no outcome"),
        (evolve(GOOD, problem="it rained"), "it rained"),
    ],
)
def test_what_is_not_good_says_why(checked, word):
    assert not checked.ok
    assert word in checked.verdict
    assert word in report.visit_line(checked)

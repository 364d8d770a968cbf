"""What is told of visits, and when a visit is good."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from lbcompanion.demo import story
from tests.support.demo_visits import GOOD, LOST, RECORDING, SERVED, VISIT


def test_a_good_visit():
    assert GOOD.ok
    assert "fetched from" in story.line(GOOD)
    assert "1 wrong turn," in story.line(GOOD)


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
    assert word in story.line(checked)


def test_the_document():
    said = json.loads(story.document([GOOD, LOST], "builtin", 1.23456))
    assert set(said) == {"balancer", "visits", "archived", "lost", "misrouted_attempts", "seconds"}
    assert (said["archived"], said["lost"], said["misrouted_attempts"]) == (1, 1, 2)
    first, second = said["visits"]
    assert first.items() >= {**RECORDING, "served_sha256": "aa", "ok": True}.items()
    assert not second["ok"]


def test_table_and_closing_line():
    assert story.table([GOOD, LOST], "builtin").row_count == 2
    assert "1 of 2" in story.closing([GOOD, LOST], 1.0)

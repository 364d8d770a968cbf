"""What is told of visits, and when a visit is good."""

from __future__ import annotations

import json

from lbcompanion.demo import story
from tests.support.demo_visits import GOOD, LOST, RECORDING


def test_a_good_visit():
    assert GOOD.ok
    assert "fetched from" in story.line(GOOD)
    assert "1 wrong turn," in story.line(GOOD)


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

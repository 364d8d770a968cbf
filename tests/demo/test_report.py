"""The report of visits, and when a visit is good."""

from __future__ import annotations

import json

from lbcompanion.demo import report
from tests.support.demo_visits import GOOD, LOST, RECORDING


def test_a_good_visit():
    assert GOOD.ok
    assert "fetched from" in report.visit_line(GOOD)
    assert "1 wrong turn," in report.visit_line(GOOD)


def test_the_document():
    document = json.loads(report.json_document([GOOD, LOST], "builtin", 1.23456))
    assert set(document) == {"balancer", "visits", "archived", "lost", "misrouted_attempts", "seconds"}
    assert (document["archived"], document["lost"], document["misrouted_attempts"]) == (1, 1, 2)
    first, second = document["visits"]
    assert first.items() >= {**RECORDING, "served_sha256": "aa", "ok": True}.items()
    assert not second["ok"]


def test_table_and_closing_line():
    assert report.table([GOOD, LOST], "builtin").row_count == 2
    assert "1 of 2" in report.closing([GOOD, LOST], 1.0)

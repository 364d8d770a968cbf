"""The farm in memory, one plain journey through each kind; tests/e2e/test_farm_machine.py does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.testing.clients import Visitor
from lbcompanion.testing.farm import KINDS, InMemoryFarm, is_archived

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", KINDS)
def test_what_a_visitor_saw_is_archived(name: str, tmp_path: Path) -> None:
    farm = InMemoryFarm(KINDS[name], tmp_path)
    visitor = Visitor(farm, "ann")
    views = [visitor.visit("styled"), visitor.visit("coded", "POST")]
    assert [visitor.notice(view) for view in views if view is not None] == [204, 204]
    farm.network.pass_time(10)
    assert farm.crawler is not None
    rows = farm.rows()
    assert [is_archived(row) for row in rows] == [True, True]
    pages = {row["page_url"].rpartition("/")[2]: farm.crawler.page(row) for row in rows}
    assert pages == {visit: served.body for visit, served in farm.application_log.pages.items()}
    farm.close()


def test_a_node_that_stays_away_costs_its_pages_and_no_others(tmp_path: Path) -> None:
    farm = InMemoryFarm(KINDS["insert"], tmp_path)
    ann, bob = Visitor(farm, "ann"), Visitor(farm, "bob")
    lost, kept = ann.visit(), bob.visit()
    assert lost is not None
    assert kept is not None
    assert lost.served_by != kept.served_by
    farm.cut_off(lost.served_by)
    assert ann.notice(lost) == bob.notice(kept) == 204
    farm.network.pass_time(farm.give_up_after_seconds + 60, stride=2.0)
    outcomes = {row["token"]: (row["outcome"], row["reason"].partition(":")[0]) for row in farm.rows()}
    assert outcomes == {
        lost.token: ("lost", f"no answer from {lost.served_by} within 120 s"),
        kept.token: ("archived", ""),
    }
    farm.close()

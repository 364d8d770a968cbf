from __future__ import annotations

import pytest

from lbcompanion.crawler.activity import ARCHIVED, LOST, SEEN, Bucket, Counts
from lbcompanion.crawler.admin.activity_api import STEPS, ActivityApi, timeline
from lbcompanion.crawler.queue.activity_table import ActivityTable
from tests.support.crawler_api import ApiCase
from tests.support.simulated_farm import immediately

COUNTS = {
    Bucket(60, 60, "n1", SEEN): Counts(3),
    Bucket(60, 60, "n1", ARCHIVED): Counts(2, 3, 500, 4.0, [1, 2, 2, 2]),
    Bucket(120, 60, "n2", LOST, "expired"): Counts(1, 1),
}


def test_a_timeline_has_every_period_and_every_node() -> None:
    found = timeline(COUNTS, 0, 240, 60)
    assert [(at, each.seen, each.archived.pages, each.lost_pages) for at, each in found.periods.items()] == [
        (0, 0, 0, 0),
        (60, 3, 2, 0),
        (120, 0, 0, 1),
        (180, 0, 0, 0),
    ]
    assert (list(found.nodes), found.total.attempts, found.total.mean_delay) == (["n1", "n2"], 4, 2.0)
    assert found.nodes["n2"].as_json()["lost"] == {"expired": 1}
    assert found.periods[0].mean_delay is None


def test_a_span_has_about_sixty_whole_periods() -> None:
    for span, step in STEPS.items():
        assert span % step == 0
        assert 48 <= span // step <= 60


@pytest.mark.slow
class ActivityApiTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        table = ActivityTable(self.rig.database, "one")
        now = int(self.farm.now())
        table.add({Bucket(now // 60 * 60, 60, "n1", SEEN): Counts(4)}, now)
        self.use(activity=ActivityApi(table, immediately, self.farm.now))

    def test_the_last_day(self) -> None:
        found = self.json("/api/activity")
        self.assertEqual((found["step_seconds"], len(found["periods"]), found["total"]["seen"]), (1800, 48, 4))
        self.assertEqual(found["periods"][-1]["seen"], 4)
        self.assertEqual(found["nodes"]["n1"]["archived_within"], {"1": 0, "10": 0, "60": 0, "600": 0})
        self.assertEqual(self.json("/api/activity?hours=1")["step_seconds"], 60)
        self.assertEqual(self.get("/api/activity?hours=2")[0].code, 400)

    def test_the_dashboard_draws_it(self) -> None:
        body = self.get("/?hours=1")[1].decode()
        self.assertIn("4 pages seen, 0 archived, 0 lost", body)
        self.assertIn('<a href="/?hours=1" aria-current="true">', body)
        self.assertEqual(self.get("/live?hours=1")[0].code, 200)

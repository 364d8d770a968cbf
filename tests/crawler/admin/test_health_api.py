from __future__ import annotations

import pytest

from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.queue.activity_table import ActivityTable
from tests.support.crawler_api import ApiCase, health_api
from tests.support.simulated_farm import immediately

pytestmark = pytest.mark.slow


class HealthApiTests(ApiCase):
    def use(self) -> None:  # type: ignore[override]
        table = ActivityTable(self.rig.database, "crawler")
        super().use(health_words=health_api(self, ActivityApi(table, immediately, self.farm.now)))
        self.table = table

    def test_the_worst_part_comes_first(self) -> None:
        self.table.add(self.rig.activity.take(), self.farm.now())
        found = self.json("/api/health")
        self.assertEqual(found["state"], "warning")
        parts = {(part["kind"], part["name"]): part for part in found["parts"]}
        self.assertEqual(parts["queue", "queue"]["state"], "ok")
        self.assertEqual(parts["node", "n1"]["what"].partition(",")[0], "1 of 2 pages of the last hour are lost")
        self.assertEqual(parts["node", "n2"]["state"], "ok")
        self.health.failed("the archive has no room", "10 bytes are free")
        found = self.json("/api/health")
        self.assertEqual((found["state"], found["parts"][0]["kind"]), ("failing", "archive"))
        self.assertIn("10 bytes are free", found["parts"][0]["what"])

    def test_a_broken_queue_is_shown(self) -> None:
        self.health = self.rig.database._health
        self.use()
        with self.rig.database.change() as connection:
            connection.exec_driver_sql("ALTER TABLE recordings RENAME TO away")
        found = self.json("/api/health")
        self.assertEqual((found["state"], found["parts"][0]["kind"]), ("failing", "queue"))

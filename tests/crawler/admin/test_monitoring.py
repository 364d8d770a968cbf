from __future__ import annotations

import pytest

from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow


class MonitoringTests(ApiCase):
    def test_numbers(self) -> None:
        stats = self.json("/api/stats")
        self.assertEqual((stats["recordings"], stats["archived"], stats["lost"], stats["open"]), (4, 3, 1, 0))
        self.assertGreaterEqual(stats["misrouted_attempts"], 1)
        in_all, since_start = stats.pop("in_all"), stats.pop("since_start")
        self.assertEqual(in_all, {"recordings": 4, "archived": 3, "lost": 1, "open": 0})
        self.assertEqual(stats, {**since_start, **in_all})
        self.assertFalse(in_all.keys() & since_start.keys())
        metrics = self.get("/metrics")[1].decode()
        self.assertIn('lbcompanion_crawler_outcomes_total{outcome="archived"} 3.0', metrics)
        self.assertIn("lbcompanion_crawler_notices_open 0.0", metrics)
        samples = [line for line in metrics.splitlines() if not line.startswith("#")]
        self.assertEqual([line for line in samples if not line.startswith("lbcompanion_crawler_")], [])

    def test_health(self) -> None:
        self.assertEqual(self.get("/healthz")[0].code, 200)
        self.rig.database.close()

    def test_health_names_each_problem(self) -> None:
        self.assertEqual((self.get("/healthz")[0].code, self.get("/healthz")[1]), (200, b"ok\n"))
        self.health.failed("site main", "the name does not resolve")
        self.health.failed("the archive cannot be written", "no space")
        response, body = self.get("/healthz")
        self.assertEqual(response.code, 503)
        self.assertEqual(body, b"site main: the name does not resolve\nthe archive cannot be written: no space\n")
        self.health.works("site main")
        self.health.works("the archive cannot be written")
        self.assertEqual(self.get("/healthz")[0].code, 200)

from __future__ import annotations

import json

import pytest

from tests.support.crawler_api import ApiCase
from tests.support.host_spellings import ALLOWED, REFUSED, answer_of

pytestmark = pytest.mark.slow


POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


class ApiTests(ApiCase):
    def test_listing(self) -> None:
        first = self.json("/api/recordings?limit=3")
        self.assertEqual([each["token"] for each in first["recordings"]], self.tokens[:0:-1])
        rest = self.json(f"/api/recordings?limit=3&after={first['next']}")
        self.assertEqual([each["token"] for each in rest["recordings"]], self.tokens[:1])
        self.assertIsNone(rest["next"])
        lost = self.json("/api/recordings?outcome=lost")["recordings"]
        self.assertEqual([(each["token"], each["reason"]) for each in lost], [(self.tokens[3], "expired")])
        self.assertEqual(len(self.json("/api/recordings?outcome=archived&node=n2")["recordings"]), 1)

    def test_wrong_questions(self) -> None:
        for path, status in (
            ("/api/recordings?limit=x", 400),
            ("/api/recordings?outcome=maybe", 400),
            ("/api/recordings?node=n%001", 400),
            ("/api/recordings?visitor=%1F", 400),
            ("/?route=a%0A", 400),
            ("/api/recordings/none", 404),
            (f"/api/recordings/{'n' * 5000}", 404),
            ("/api/recordings/none/page", 404),
            (f"/api/recordings/{self.tokens[3]}/page", 404),
            ("/nothing", 404),
        ):
            self.assertEqual(self.get(path)[0].code, status, path)
        self.assertEqual(self.get("/api/stats", "POST")[0].code, 405)

    def test_the_page_is_locked_up(self) -> None:
        response, body = self.get(f"/api/recordings/{self.tokens[0]}/page")
        self.assertEqual(body, b"<script>0</script>")
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["text/html; charset=utf-8"])
        self.assertEqual(response.headers.getRawHeaders("content-security-policy"), [POLICY])
        self.assertEqual(response.headers.getRawHeaders("x-content-type-options"), ["nosniff"])

    def test_numbers(self) -> None:
        stats = self.json("/api/stats")
        self.assertEqual((stats["recordings"], stats["archived"], stats["lost"], stats["open"]), (4, 3, 1, 0))
        self.assertGreaterEqual(stats["misrouted_attempts"], 1)
        metrics = self.get("/metrics")[1].decode()
        self.assertIn('lbcompanion_crawler_outcomes_total{outcome="archived"} 3.0', metrics)
        self.assertIn("lbcompanion_crawler_notices_open 0.0", metrics)
        samples = [line for line in metrics.splitlines() if not line.startswith("#")]
        self.assertEqual([line for line in samples if not line.startswith("lbcompanion_crawler_")], [])

    def test_health(self) -> None:
        self.assertEqual(self.get("/healthz")[0].code, 200)
        self.rig.database.close()

    def test_only_known_hosts_are_answered(self) -> None:
        page = f"/api/recordings/{self.tokens[0]}/page"
        for path in ("/", "/api/recordings", page, "/healthz", "/metrics", "/nothing", "/dashboard.js"):
            for case in REFUSED:
                status, head, body = answer_of(self.site, path, case)
                self.assertEqual(status, case.status, (path, case))
                self.assertEqual(head["content-type"], "application/problem+json")
                self.assertEqual(json.loads(body)["status"], case.status)
        for case in ALLOWED:
            self.assertEqual(answer_of(self.site, "/healthz", case)[0], 200, case)
        self.assertEqual(answer_of(self.site, page, ALLOWED[0])[2], b"<script>0</script>")

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

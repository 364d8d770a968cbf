"""Recordings and routes as JSON."""

from __future__ import annotations

import pytest

from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow


class ApiTests(ApiCase):
    def test_a_recording(self) -> None:
        one = self.json(f"/api/recordings/{self.tokens[1]}")
        self.assertEqual((one["outcome"], one["origin_node"], one["answered_by"]), ("archived", "n2", "n2"))
        self.assertEqual(one["route"], "own")
        self.assertEqual(one["captured_at"], "2026-11-23T21:10:00.250000Z")
        self.assertEqual({"file", "offset", "crawler"}, set(one["warc"]))
        self.assertEqual({"route", "node", "result", "ms", "learnt"}, set(one["attempts"][0]))
        self.assertEqual(one["bytes"], len(b"<script>1</script>"))

    def test_routes_show_names_only(self) -> None:
        routes = self.json("/api/routes")["routes"]
        self.assertEqual(
            [(each["node"], each["state"], each["cookies"]) for each in routes][1], ("n2", "proven", ["SRV"])
        )

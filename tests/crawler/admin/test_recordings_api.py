from __future__ import annotations

import pytest

from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow


POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


class RecordingsApiTests(ApiCase):
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
            ("/recordings?route=a%0A", 400),
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

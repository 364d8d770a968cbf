"""The dashboard: every text is escaped."""

from __future__ import annotations

import json

import pytest

from lbcompanion.html.requisite_links import MAX_SEARCHED_BYTES
from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow


class ApiTests(ApiCase):
    def test_the_dashboard_is_escaped(self) -> None:
        for path in ("/", "/live", "/recordings", f"/recording/{self.tokens[0]}", '/recordings?node="><script>'):
            response, body = self.get(path)
            self.assertEqual(response.code, 200)
            self.assertNotIn(b"<script>0", body)
            self.assertNotIn(b'"><script>', body.replace(b'"></script>', b""))
            self.assertIn("default-src 'none'", response.headers.getRawHeaders("content-security-policy")[0])
        self.assertIn(b"<iframe sandbox", self.get(f"/recording/{self.tokens[0]}")[1])
        self.assertEqual(self.get("/dashboard.css")[0].code, 200)
        self.assertEqual(self.get("/dashboard.js")[0].code, 200)

    def test_the_overview_has_the_health_of_all_parts(self) -> None:
        body = self.get("/")[1]
        self.assertIn(b"parts work.</b>", body)
        self.assertIn(b"The queue&#39;s database can be read and written.", body)
        self.health.failed("site main", "<its name is unknown>")
        for path in ("/", "/live"):
            body = self.get(path)[1]
            self.assertIn(b"<b>1 of ", body)
            self.assertIn(b"Site main: &lt;its name is unknown&gt;.", body)
            self.assertIn(b"Correct the site&#39;s origin", body)

    def test_a_recording_and_its_erasure_name_visitor_time_and_node(self) -> None:
        token = self.farm.nodes["n2"].capture(b"<title>Cart</title>")
        self.rig.take(token, {"SRV": "n2"}, visitor="v1" + "A" * 22)
        for view in ("", "/source", "/headers", "/files"):
            body = self.get(f"/recording/{token}{view}")[1].decode()
            self.assertRegex(body, r"(?s)<b>Cart</b>.{,99}Seen <time.{,200}by the visitor <a.{,99}made by node n2")
        self.assertIn(f'href="/visitors/v1{"A" * 22}"', self.get("/recordings")[1].decode())

    def test_a_page_that_is_not_searched_to_its_end_is_shown(self) -> None:
        token = self.farm.nodes["n1"].capture(b"<p>" + b"x" * MAX_SEARCHED_BYTES)
        self.rig.take(token, {"SRV": "n1"})
        self.assertIn(b"not searched to its end: longer than 2097152 bytes", self.get(f"/recording/{token}")[1])
        found = json.loads(self.get(f"/api/recordings/{token}")[1])["requisites"]
        reason = "longer than 2097152 bytes"
        unsearched = [{"url": "http://www.example.com/", "reason": reason}]
        self.assertEqual(found, {"wanted": 0, "archived": 0, "missing": [], "unsearched": unsearched})

    def test_missing_requisites_are_shown(self) -> None:
        token = self.farm.nodes["n1"].capture(b"<img src='/a?\"><script>x'><img src=//cdn.example/b.png>")
        self.rig.take(token, {"SRV": "n1"})
        body = self.get(f"/recording/{token}")[1]
        self.assertIn(b"<h2>Files of the page: 0 of 2 archived</h2>", body)
        self.assertIn(b'http://cdn.example/b.png</td><td class="reason">another origin</td>', body)
        self.assertIn(b"status 404", body)
        self.assertNotIn(b"<script>x", body)

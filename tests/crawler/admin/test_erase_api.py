"""Erasing by the API: what it takes, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import treq
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lbcompanion.crawler.admin.listener import MAX_BODY_BYTES
from lbcompanion.protocol.visitors import visitor_pseudonyms
from tests.support.crawler_api import BASE, ErasingCase
from tests.support.simulated_farm import ORIGIN, SECRET

JSON = {"Content-Type": "application/json"}


class EraseApiTests(ErasingCase):
    def send(self, method: str, path: str, body: Any = None, headers: Any = JSON) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.successResultOf(
            self.http.request(method, BASE + path, reactor=Clock(), data=data, headers=headers)
        )
        return response.code, json.loads(self.successResultOf(treq.content(response)) or b"null")

    @pytest.mark.slow
    def test_by_token(self) -> None:
        token = self.tokens[0]
        code, done = self.send("POST", "/api/erase", {"token": token})
        self.assertEqual((code, done["recordings"], done["records"], done["waiting"]), (200, 1, 1, 0))
        self.assertEqual(self.get(f"/api/recordings/{token}")[0].code, 404)
        self.assertEqual(self.get(f"/api/recordings/{token}/page")[0].code, 404)
        self.assertEqual(self.get(f"/api/recordings/{self.tokens[1]}/page")[1], b"<script>1</script>")
        (entry,) = self.json("/api/erasures")["erasures"]
        self.assertEqual((entry["by"], entry["criteria"], entry["recordings"]), ("api", "token", 1))
        self.assertNotIn(token, json.dumps(entry))
        self.assertIn(b'erased_recordings_total{by="api"} 1.0', self.get("/metrics")[1])

    @pytest.mark.slow
    def test_by_delete(self) -> None:
        self.assertEqual(self.send("DELETE", f"/api/recordings/{self.tokens[3]}")[1]["recordings"], 1)
        self.assertEqual(self.send("DELETE", f"/api/recordings/{self.tokens[3]}")[0], 404)

    @pytest.mark.slow
    def test_by_the_visitors_cookie_or_pseudonym(self) -> None:
        for visitor in ("alice", *visitor_pseudonyms(SECRET, "alice")):
            (pseudonym,) = visitor_pseudonyms(SECRET, "alice")
            token = self.farm.nodes["n1"].capture(b"x")
            self.rig.take(token, visitor=pseudonym)
            self.assertEqual(self.json(f"/api/recordings/{token}")["visitor"], pseudonym)
            self.assertEqual(len(self.json(f"/api/recordings?visitor={pseudonym}")["recordings"]), 1)
            self.assertEqual(self.send("POST", "/api/erase", {"visitor": visitor})[1]["recordings"], 1)
            self.assertEqual(self.json(f"/api/recordings?visitor={pseudonym}")["recordings"], [])

    @pytest.mark.slow
    def test_a_dry_run_only_counts(self) -> None:
        _, counted = self.send("POST", "/api/erase", {"url": f"{ORIGIN}/*", "dry_run": True})
        self.assertEqual(counted, {"dry_run": True, "recordings": 4, "archived": 3, "file_records": 0})
        self.assertEqual(len(self.json("/api/recordings")["recordings"]), 4)
        self.assertEqual(self.json("/api/erasures"), {"erasures": [], "next": None})

    @pytest.mark.slow
    def test_what_is_no_order_to_erase_is_refused(self) -> None:
        order = {"token": self.tokens[0]}
        foreign = {**JSON, "Origin": "http://evil.example"}
        for method, path, body, headers, status in (
            ("POST", "/api/erase", order, {}, 415),
            ("POST", "/api/erase", order, {"Content-Type": "text/plain"}, 415),
            ("POST", "/api/erase", order, foreign, 403),
            ("POST", "/api/erase", order, {**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
            ("POST", "/api/erase", order, {**JSON, "Host": "evil.example"}, 421),
            ("DELETE", f"/api/recordings/{self.tokens[0]}", None, foreign, 403),
            ("POST", "/api/erase", b"{", JSON, 400),
            ("POST", "/api/erase", [], JSON, 400),
            ("POST", "/api/erase", {}, JSON, 400),
            ("POST", "/api/erase", {"url": "http://a/\x00"}, JSON, 400),
            ("POST", "/api/erase", {"visitor": "\ud800"}, JSON, 400),
            ("DELETE", f"/api/recordings/{'n' * 5000}", None, JSON, 404),
            ("POST", "/api/erase", {**order, "dry_run": "yes"}, JSON, 400),
            ("POST", "/api/erase", {**order, "by": "me"}, JSON, 400),
            ("POST", "/api/erase", b" " * ((1 << 20) + 1), JSON, 413),
            ("GET", "/api/erase", None, {}, 405),
            ("DELETE", "/api/recordings", None, {}, 405),
            ("POST", f"/api/recordings/{self.tokens[0]}", order, JSON, 405),
            ("DELETE", f"/api/recordings/{self.tokens[0]}/page", None, {}, 405),
        ):
            self.assertEqual(self.send(method, path, body, headers)[0], status, (method, path, headers))
        self.assertEqual(len(self.json("/api/recordings")["recordings"]), 4)

    @pytest.mark.slow
    def test_methods_that_are_allowed_are_named(self) -> None:
        for path, allowed in (
            ("/api/erase", ["POST"]),
            ("/api/stats", ["GET, HEAD"]),
            ("/api/recordings/x", ["GET, HEAD, DELETE"]),
        ):
            response, _ = self.get(path, "PUT")
            self.assertEqual(response.headers.getRawHeaders("allow"), allowed)

    @pytest.mark.slow
    def test_a_long_body_is_refused_and_not_kept(self) -> None:
        for framing in (b"Content-Length: 5000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n4c4b40\r\n"):
            transport = StringTransport()
            protocol: Any = self.site.buildProtocol(None)
            protocol.makeConnection(transport)
            protocol.dataReceived(b"POST /api/erase HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            protocol.dataReceived(framing)
            for _ in range(50):
                request = protocol._channel.requests[0]
                self.assertLessEqual(request.content.tell(), MAX_BODY_BYTES + 1)
                protocol.dataReceived(b" " * 100_000)
            protocol.dataReceived(b"\r\n0\r\n\r\n" if b"chunked" in framing else b"")
            self.assertIn(b"HTTP/1.1 413 ", transport.value())
            protocol.connectionLost(Failure(ConnectionDone()))

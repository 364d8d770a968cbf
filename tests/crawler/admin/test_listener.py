from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import treq
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.dashboard.rendering import error_page
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, Stream, json_response
from lbcompanion.crawler.admin.listener import AdminResource
from tests.support.crawler_api import ApiCase
from tests.support.host_spellings import ALLOWED, REFUSED, answer_of

pytestmark = pytest.mark.slow


class ListenerTests(ApiCase):
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


async def _fails(_call: Call) -> Response:
    raise ValueError("secret")


async def _answers(call: Call) -> Response:
    return json_response(dict(call.params), status=202)


class _Refuses:
    async def check(self, call: Call, endpoint: Endpoint) -> Call:
        if endpoint.role is Role.OPERATOR:
            raise HttpError(403, "operators only")
        return call


class TableTests(SynchronousTestCase):
    def get(self, path: str, method: str = "GET") -> tuple[Any, bytes]:
        endpoints = [
            Endpoint("/fails", _fails),
            Endpoint("/a/{name}", _answers),
            Endpoint("/a/{name}", _answers, ("DELETE",), role=Role.OPERATOR),
            Endpoint("/stream", self._stream),
        ]
        http = StubTreq(AdminResource(endpoints, guard=_Refuses()))
        response = self.successResultOf(http.request(method, "http://127.0.0.1" + path))
        return response, self.successResultOf(treq.content(response))

    async def _stream(self, _call: Call) -> Stream:
        def start(request: Any) -> Callable[[], None]:
            request.write(b"data: 1\n\n")
            request.finish()
            return lambda: None

        return Stream(start, "application/x-made")

    def test_the_status_is_the_handlers(self) -> None:
        response, body = self.get("/a/b")
        self.assertEqual((response.code, body), (202, b'{"name": "b"}\n'))

    def test_people_get_a_page_and_programs_json(self) -> None:
        for path, accepted, kind in (
            ("/none", "text/html,*/*;q=0.8", "text/html; charset=utf-8"),
            ("/none", "*/*", "application/problem+json"),
            ("/api/none", "text/html", "application/problem+json"),
        ):
            http = StubTreq(AdminResource([], error_page=error_page))
            asked = http.get("http://127.0.0.1" + path, headers={"Accept": accepted})
            response = self.successResultOf(asked)
            self.assertEqual((response.code, response.headers.getRawHeaders("content-type")), (404, [kind]), path)
            self.assertIn(b"here is nothing here", self.successResultOf(treq.content(response)))

    def test_a_guard_refuses(self) -> None:
        self.assertEqual(self.get("/a/b", "DELETE")[0].code, 403)

    def test_a_failure_shows_nothing_of_itself(self) -> None:
        response, body = self.get("/fails")
        self.assertEqual(response.code, 500)
        self.assertNotIn(b"secret", body)

    def test_all_methods_of_a_path_are_named(self) -> None:
        response, _ = self.get("/a/b", "PUT")
        self.assertEqual((response.code, response.headers.getRawHeaders("allow")), (405, ["GET, HEAD, DELETE"]))

    def test_a_stream(self) -> None:
        response, body = self.get("/stream")
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/x-made"])
        self.assertEqual(body, b"data: 1\n\n")

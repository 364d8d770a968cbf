"""The whole admin listener: each endpoint of its table, with users and without."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin import api
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.endpoint import Endpoint
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.admin.script_pages import ScriptPages
from lbcompanion.crawler.admin.viewings import Viewings
from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.crawler.queue.schema import RECORDINGS
from tests.crawler.admin import api_reference
from tests.support.access_case import VIEWER_TOKEN, AccessCase, bearer
from tests.support.crawler_api import BASE, ErasingCase, admin_resource, health_api, stream_api
from tests.support.reported_webhooks import ReportedWebhooks
from tests.support.simulated_farm import immediately

pytestmark = pytest.mark.slow

VISITOR = "v1" + "a" * 22
JSON = {"Content-Type": "application/json"}
#: The types that a form of any site can send.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
PART = b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n{"token": "x"}\r\n--x--\r\n'
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FOR_ANYBODY = {
    ("GET", "/healthz"),
    ("GET", "/dashboard.css"),
    ("GET", "/dashboard.js"),
    ("GET", "/icon.svg"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
}
#: What a browser loads, follows or sends to.
ADDRESSES = {"href", "src", "srcset", "action", "formaction", "data", "poster", "xlink:href", "background", "ping"}
HOSTILE = "javascript:alert(1)//\"'><a href=javascript:alert(1) onclick=alert(1)>&"


class WholeListenerCase(AccessCase, ErasingCase):
    """A listener with all of its parts."""

    def setUp(self) -> None:
        super().setUp()
        activity = ActivityApi(ActivityTable(self.rig.database, "crawler"), immediately, self.farm.now)
        reported: Any = ReportedWebhooks()
        viewings = Viewings(
            seconds=600, most=9, clock=lambda: self.seconds, random=os.urandom, metrics=self.rig.metrics
        )
        self.listen(
            admin_resource(
                self.rig,
                health=self.health,
                access=self.access,
                erasure=self.erasure,
                stream=stream_api(self.rig),
                activity=activity,
                health_words=health_api(self, activity, reported),
                webhooks=WebhooksApi(reported),
                scripts=ScriptPages(
                    viewings=viewings,
                    metrics=self.rig.metrics,
                    trail=self.access.trail,
                    origin="http://scripts.test",
                    port=lambda: 0,
                ),
                export=ExportApi(open_database=None, open_reader=None, in_thread=immediately),  # type: ignore[arg-type]
            )
        )

    def endpoints(self) -> Iterator[tuple[str, Endpoint]]:
        for endpoint in self.admin._endpoints:
            for method in endpoint.methods:
                yield method, endpoint

    def path(self, endpoint: Endpoint) -> str:
        path = endpoint.path.format(token=self.tokens[0], visitor=VISITOR, encoding="utf-8")
        return f"{path}?url=http://www.example.com/&a={self.tokens[0]}&b={self.tokens[1]}&seconds=0"

    def changing(self) -> list[tuple[str, str]]:
        """The methods and paths that change something."""
        return [(method, self.path(endpoint)) for method, endpoint in self.endpoints() if method != "GET"]

    def assert_nothing_is_erased(self) -> None:
        self.assertEqual(len(self.rig.backlog.recordings(9)), len(self.tokens))
        self.assertEqual(self.erasure.erasures.entries(9), [])


class EndpointTests(WholeListenerCase):
    def test_no_part_is_left_out(self) -> None:
        whole = {each.path for each in api.admin_resource(**api_reference.parts())._endpoints}
        self.assertEqual({each.path for _, each in self.endpoints()}, {*whole, "/recording/{token}/scripts"})

    def test_what_is_for_anybody(self) -> None:
        found = {(method, each.path) for method, each in self.endpoints() if each.role is Role.ANYBODY}
        self.assertEqual(found, FOR_ANYBODY)

    def test_what_changes_or_is_logged_needs_a_role(self) -> None:
        changing = set[str]()
        for method, each in self.endpoints():
            if (method, each.path) in FOR_ANYBODY:
                self.assertEqual(each.action, "", each.path)
            elif method != "GET":
                self.assertIs(each.role, Role.OPERATOR, each.path)
                self.assertTrue(each.action, each.path)
                changing.add(each.path)
        self.assertGreaterEqual(changing, {"/api/erase", "/api/recordings/{token}", "/recording/{token}/erase"})

    def test_without_a_log_in_nothing_is_shown_or_done(self) -> None:
        body = json.dumps({"token": self.tokens[0]}).encode()
        for method, endpoint in self.endpoints():
            if endpoint.role is not Role.ANYBODY:
                headers = {"Origin": BASE, **JSON}
                self.assertEqual(self.ask(self.path(endpoint), method, headers, body)[0].code, 401, endpoint.path)
        self.assert_nothing_is_erased()

    def test_a_viewer_erases_nothing(self) -> None:
        cookie = self.cookie("vera", "vera's password")
        body = json.dumps({"token": self.tokens}).encode()
        for headers in (bearer(VIEWER_TOKEN), {"Cookie": cookie, "Origin": BASE}):
            for method, endpoint in self.endpoints():
                path, is_refused = self.path(endpoint), endpoint.role is Role.OPERATOR
                if endpoint.path in ("/login", "/logout") or endpoint.action == "export":
                    continue
                status = self.ask(path, method, {**headers, **JSON}, body)[0].code
                self.assertEqual(status == 403, is_refused, f"{method} {path}: {status}")
                for other in METHODS:
                    overriding = {"X-HTTP-Method-Override": "DELETE", **headers, **JSON}
                    self.ask(path, other, overriding, body)
        self.assert_nothing_is_erased()

    def test_a_session_changes_nothing_without_the_browsers_word(self) -> None:
        cookie = self.cookie("olga", "olga's password")
        body = json.dumps({"token": self.tokens}).encode()
        before = self.lines()
        for method, path in self.changing():
            for kind in (*FORMS, "application/json"):
                for word in (
                    {},
                    {"Origin": "null"},
                    {"Origin": "http://evil.test"},
                    {"Origin": "http://127.0.0.1:1"},
                    {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site"},
                ):
                    headers = {"Cookie": cookie, "Content-Type": kind, **word}
                    sent = PART if "multipart" in kind else body
                    self.assertEqual(self.ask(path, method, headers, sent)[0].code, 403, f"{method} {path} {headers}")
        self.assertEqual(self.lines(), before)
        self.assert_nothing_is_erased()

    def test_with_the_browsers_word_it_does(self) -> None:
        """Without this the others would prove nothing."""
        for word in ({"Origin": BASE}, {"Sec-Fetch-Site": "same-origin"}):
            for method, path in self.changing():
                headers = {"Cookie": self.cookie("olga", "olga's password"), **JSON, **word}
                status = self.ask(path, method, headers, b'{"before": "2000-01-01"}')[0].code
                self.assertNotIn(status, (401, 403), f"{method} {path}")
        self.assertNotEqual(self.erasure.erasures.entries(9), [])

    def test_each_page_shows_the_user(self) -> None:
        headers = {"Cookie": self.cookie("olga", "olga's password")}
        shown = set[str]()
        for method, endpoint in self.endpoints():
            if method == "GET" and endpoint.path != "/login":
                response, body = self.ask(self.path(endpoint), headers=headers)
                if b'<header class="top">' in body:
                    self.assertEqual(response.code, 200, endpoint.path)
                    self.assertIn(b"<span>olga", body, endpoint.path)
                    self.assertIn(b'action="/logout"', body, endpoint.path)
                    shown.add(endpoint.path)
        self.assertGreaterEqual(shown, {"/", "/recordings", "/recording/{token}/files", "/recording/{token}/erase"})

    def test_recorded_values_become_no_addresses(self) -> None:
        markup = f'<title>{HOSTILE}</title><meta http-equiv=refresh content="0; url=http://x.test/"><img src=x:y>'
        token = self.farm.nodes["n1"].capture(markup.encode(), "/hostile")
        self.rig.take(token, {"SRV": "n1"}, visitor=VISITOR)
        self.tokens.insert(0, token)
        values = dict.fromkeys(("url", "title", "reason", "origin_node", "answered_by", "method"), HOSTILE)
        with self.rig.database.change() as connection:
            connection.execute(RECORDINGS.update().where(RECORDINGS.c.token == token).values(values))
        headers = {"Cookie": self.cookie("olga", "olga's password")}
        seen = 0
        for method, endpoint in self.endpoints():
            if method == "GET" and endpoint.path not in ("/replay/{token}/", "/api/recordings/{token}/page"):
                for path in (self.path(endpoint), self.path(endpoint).replace("http:", "javascript:")):
                    response, body = self.ask(path, headers=headers)
                    if "text/html" in response.headers.getRawHeaders("content-type", [""])[0]:
                        found = addresses(body.decode())
                        self.assertEqual([each for each in found if not is_own(each)], [], path)
                        seen += b"javascript:alert" in body
        self.assertGreater(seen, 5)


class OpenTests(WholeListenerCase):
    has_users = False

    def test_a_form_changes_nothing_without_the_browsers_word(self) -> None:
        """Old browsers send no Origin; a form has no other method and no other type."""
        body = json.dumps({"token": self.tokens}).encode()
        for method, path in self.changing():
            for kind in FORMS:
                if method == "POST":
                    sent = PART if "multipart" in kind else body
                    self.assertIn(self.ask(path, method, {"Content-Type": kind}, sent)[0].code, (403, 415), path)
            for word in ({"Origin": "null"}, {"Origin": "http://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
                self.assertEqual(self.ask(path, method, {**JSON, **word}, body)[0].code, 403, path)
        self.assert_nothing_is_erased()


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ADDRESSES or name.startswith("on"):
                self.found.append(value or "")


def addresses(page: str) -> list[str]:
    parser = _Addresses()
    parser.feed(page)
    parser.close()
    return parser.found


def is_own(address: str) -> bool:
    return address.startswith(("/", "?", "#")) and not address.startswith(("//", "/\\"))


def test_what_an_own_address_is() -> None:
    page = '<a href="/a"></a><a href=javascript:x></a><img src="//x"><p onclick="/x()"><form action=http://x>'
    found: Any = addresses(page)
    assert [each for each in found if not is_own(each)] == ["javascript:x", "//x", "http://x"]

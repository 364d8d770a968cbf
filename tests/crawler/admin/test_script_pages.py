from __future__ import annotations

import html
import os
import re
import tomllib
from collections.abc import Iterator

import pytest

from lbcompanion.crawler.access.users_file import change_users
from lbcompanion.crawler.admin.listener import AdminResource
from lbcompanion.crawler.admin.script_pages import SCRIPT_POLICY, ScriptPages
from lbcompanion.crawler.admin.viewings import Viewings
from tests.support.access_case import OPERATOR_TOKEN, VIEWER_TOKEN, AccessCase, bearer
from tests.support.admin_server import RecordedPages, requisite
from tests.support.crawler_api import BASE, admin_resource

PNG = b"\x89PNG\r\n\x1a\nx"
FILES = (
    requisite("/a.js", b"let a", "text/javascript"),
    requisite("/a.css", b"@font-face { src: url(f.woff2) }", "text/css"),
    requisite("/f.woff2", b"wOF2", "font/woff2"),
    requisite("/i.png", PNG, "image/png"),
)
MARKUP = (
    b"<!DOCTYPE html><html lang=en><body onload='go(\"<\")'><link rel=stylesheet href=/a.css>"
    b"<script src=/a.js></script><script src=/gone.js></script><script type=module>if (1 < 2 && '</b>') go()</script>"
    b"<a href='javascript:go()'>x</a><a href=/other>x</a><form action=/send><button formaction=/x>x</button></form>"
    b"<noscript><img src=i.png></noscript><meta http-equiv=refresh content=0;url=/x>"
    b"<iframe srcdoc='<script>go(2)</script>'></iframe>"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPages]:
    found = RecordedPages(tmp_path_factory.mktemp("archive"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def token(pages: RecordedPages) -> str:
    return pages.record(MARKUP, "/", FILES)


@pytest.fixture
def start(pages: RecordedPages, token: str) -> str:
    """What the addresses of the recording begin with."""
    return f"/{pages.key(token)}/{token}/"


def file_of(start: str, name: str, what: str = "file") -> str:
    return f"{start}{what}?url=http%3A%2F%2Fwww.example.com%2F{name}"


def test_a_page_keeps_its_scripts(pages: RecordedPages, start: str) -> None:
    status, fields, body = pages.get_with_scripts(f"{start}page")
    assert (status, fields["content-security-policy"]) == (200, SCRIPT_POLICY)
    shown = body.decode()
    assert shown.startswith(f'<!DOCTYPE html><script src="/before-scripts.js" data-prefix="{start}" data-base="http')
    assert f'<script src="{file_of(start, "a.js")}"></script>' in shown
    assert '<script src="about:invalid"></script>' in shown
    assert "<script type=\"module\">if (1 < 2 && '</b>') go()</script>" in shown
    assert '<body onload="go(&quot;&lt;&quot;)">' in shown
    assert 'href="javascript:go()"' in shown
    assert 'srcdoc="&lt;script src=&quot;/before-scripts.js&quot;' in shown
    assert "go(2)" in shown
    assert not re.search("action=|refresh", shown)


def test_the_policy_never_allows_scripts_in_the_origin_of_the_listener(pages: RecordedPages, start: str) -> None:
    for path in (f"{start}page", file_of(start, "nowhere", "link"), file_of(start, "nowhere", "frame")):
        policy = pages.get_with_scripts(path)[1]["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none';"), path
        assert "allow-same-origin" not in policy
    outer = pages.get_with_scripts(start)[1]["content-security-policy"]
    assert outer.startswith("default-src 'none'; frame-src 'self';")
    assert "script-src" not in outer
    drawing = requisite("/x.svg", b"<svg><script>go()</script></svg>", "image/svg+xml")
    token = pages.record(b"<iframe src=x.svg></iframe>", "/drawing", (drawing,))
    _, fields, body = pages.get_with_scripts(file_of(f"/{pages.key(token)}/{token}/", "x.svg", "frame"))
    assert fields["content-security-policy"] == SCRIPT_POLICY
    assert b"go()" not in body


def test_each_answer_names_the_only_origin_to_connect_to(pages: RecordedPages, start: str) -> None:
    for path in (start, f"{start}page", file_of(start, "nowhere", "link")):
        assert pages.get_with_scripts(path)[1]["connection-allowlist"].startswith("(response-origin)"), path


def test_the_files_come_from_the_recording(pages: RecordedPages, start: str) -> None:
    for name, content_type, is_open in (
        ("a.js", "text/javascript", True),
        ("f.woff2", "font/woff2", True),
        ("i.png", "image/png", False),
    ):
        status, fields, _ = pages.get_with_scripts(file_of(start, name))
        assert (status, fields["content-type"], "access-control-allow-origin" in fields) == (200, content_type, is_open)
    style = pages.get_with_scripts(file_of(start, "a.css", "style/utf-8"))[2].decode()
    assert file_of(start, "f.woff2") in style
    assert pages.get_with_scripts(file_of(start, "i.png", "image"))[2] == PNG
    gone = pages.get_with_scripts(file_of(start, "gone.png", "image"))[2]
    assert b"Not recorded" in gone
    assert b'width="16"' in gone
    assert pages.get_with_scripts(file_of(start, "gone.js"))[0] == 404


def test_files_shows_what_scripts_asked_for_in_vain(pages: RecordedPages) -> None:
    missing = {"http://www.example.com/known.png": "status 404"}
    token = pages.record(b"<script></script>", "/asking", FILES, missing=missing)
    start = f"/{pages.key(token)}/{token}/"
    assert b"Asked for by scripts" not in pages.get(f"/recording/{token}/files")[2]
    for name, what in (
        *(("b%3Fa=1%26b=2", "image"), ("gone.js", "file"), ("gone.css", "style/utf-8"), ("gone.js", "file")),
        *(("i.png", "image"), ("known.png", "image"), ("a*b", "image")),
    ):
        pages.get_with_scripts(file_of(start, name, what))
    pages.get_with_scripts(f"{start}image?url=https%3A%2F%2Fother.example%2Fx.png")
    shown = pages.get(f"/recording/{token}/files")[2].decode()
    assert "Asked for by scripts, not archived: 5" in shown
    setting = tomllib.loads(html.unescape(shown.partition('aria-label="Setting">')[2].partition("</pre>")[0]))
    assert setting == {"sites": {"main": {"script_files": ["/b?a=1&b=2", "/gone.css", "/gone.js"]}}}
    assert "https://other.example/x.png" in shown


def test_without_the_listener_for_scripts_they_have_no_type(pages: RecordedPages, token: str) -> None:
    _, fields, _ = pages.get(file_of(f"/replay/{token}/", "a.js"))
    assert fields["content-type"] == "application/octet-stream"


def test_a_link_leads_to_a_recording_with_a_key_of_its_own(pages: RecordedPages, start: str) -> None:
    other = pages.record(b"<p>other", "/other")
    status, fields, _ = pages.get_with_scripts(file_of(start, "other", "link"))
    assert status == 302
    where = re.fullmatch(rf"/([0-9a-f-]+)/{other}/page", fields["location"])
    assert where is not None
    assert where[1] != start.split("/")[1]
    assert pages.get_with_scripts(fields["location"])[0] == 200


def test_a_key_opens_no_other_recording(pages: RecordedPages, start: str, token: str) -> None:
    other = pages.record(b"<p>other", "/secret")
    key = start.split("/")[1]
    for path in (f"/{key}/{other}/", f"/{key}/{other}/page", f"/x/{token}/page", f"/replay/{token}/", f"/{key}/x/page"):
        assert pages.get_with_scripts(path)[0] in (403, 404), path
    assert pages.get_with_scripts(f"/api/recordings/{token}")[0] == 404
    assert pages.get_with_scripts("/recordings")[0] == 404


def test_a_key_ends_after_its_time(pages: RecordedPages, start: str) -> None:
    def refused() -> float:
        return (
            pages.metrics.registry.get_sample_value("lbcompanion_crawler_access_refused_total", {"reason": "viewing"})
            or 0
        )

    before = refused()
    pages.clock.advance(599)
    assert pages.get_with_scripts(start)[0] == 200
    pages.clock.advance(2)
    for path in (start, f"{start}page", file_of(start, "a.js"), file_of(start, "other", "link")):
        status, _, body = pages.get_with_scripts(path)
        assert status == 403
        assert b"open the recording in the dashboard again" in body
    assert refused() == before + 4


def test_a_page_is_not_shown_without_the_page_around_it(pages: RecordedPages, start: str) -> None:
    status, fields, _ = pages.get_with_scripts(f"{start}page", {"Sec-Fetch-Dest": "document"})
    assert (status, fields["location"]) == (302, start)
    assert pages.get_with_scripts(f"{start}page", {"Sec-Fetch-Dest": "iframe"})[0] == 200


def test_requests_of_a_document_without_an_origin_are_answered(pages: RecordedPages, start: str) -> None:
    sent = {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert pages.get_with_scripts(file_of(start, "f.woff2"), sent)[0] == 200
    assert pages.get(file_of(start, "f.woff2"), sent)[0] == 403


def test_other_names_of_the_listener_are_refused(pages: RecordedPages, start: str) -> None:
    assert pages.get_with_scripts(start, {"Host": "rebound.example"})[0] == 421
    assert pages.get_with_scripts(start, {"Host": "scripts.test"})[0] == 200


@pytest.mark.slow
class TestTheWayFromTheDashboard(AccessCase):
    """The dashboard leads a user who is logged in to the listener for scripts."""

    def listen_with(self, origin: str = "", port: int = 9202) -> None:
        viewings = Viewings(
            seconds=600, most=9, clock=lambda: self.seconds, random=os.urandom, metrics=self.rig.metrics
        )
        self.scripts = ScriptPages(
            viewings=viewings, metrics=self.rig.metrics, trail=self.access.trail, origin=origin, port=lambda: port
        )
        self.listen(admin_resource(self.rig, access=self.access, scripts=self.scripts, hosts=("crawler.test",)))

    def where(self, **headers: str) -> str:
        given = {**bearer(VIEWER_TOKEN), **headers}
        response, _ = self.ask(f"/recording/{self.tokens[0]}/scripts", headers=given)
        return str((response.headers.getRawHeaders("location") or [response.code])[0])

    def test_the_address_is_beside_the_dashboard(self) -> None:
        self.listen_with()
        for host, origin in (
            ("127.0.0.1:9201", "http://localhost:9202/"),
            ("localhost:9201", "http://127.0.0.1:9202/"),
            ("crawler.test", "http://crawler.test:9202/"),
            ("10.0.0.1:9201", "http://10.0.0.1:9202/"),
            ("[::1]:9201", "http://[::1]:9202/"),
            ("[::1]", "http://[::1]:9202/"),
        ):
            found = self.where(Host=host)
            self.assertTrue(found.startswith(origin), (host, found))
            self.assertTrue(found.endswith(f"/{self.tokens[0]}/"), found)

    def test_the_configured_address_counts(self) -> None:
        self.listen_with("https://replay.test", 0)
        self.assertTrue(self.where().startswith("https://replay.test/"))

    def test_where_the_address_is_not_known_the_setting_is_named(self) -> None:
        for port, headers in (
            (0, {}),
            (9202, {"X-Forwarded-Proto": "https"}),
            (9202, {"X-Forwarded-Proto": "HTTPS"}),
            (9202, {"X-Forwarded-Proto": "https, http"}),
        ):
            self.listen_with(port=port)
            self.assertEqual(self.where(**headers), "500", headers)
        _, body = self.ask(f"/recording/{self.tokens[0]}/scripts", headers={**bearer(VIEWER_TOKEN), **headers})
        self.assertIn(b"replay_scripts_origin is empty", body)

    def test_nobody_else_is_led_there(self) -> None:
        self.listen_with()
        self.assertEqual(self.status(f"/recording/{self.tokens[0]}/scripts"), 401)

    def test_there_is_no_way_without_the_listener(self) -> None:
        self.assertEqual(self.status(f"/recording/{self.tokens[0]}/scripts", headers=bearer(VIEWER_TOKEN)), 404)
        self.assertNotIn(b"With scripts", self.ask(f"/recording/{self.tokens[0]}", headers=bearer(VIEWER_TOKEN))[1])

    def scripts_path(self, headers: dict[str, str]) -> str:
        """Begin a viewing, and return its path at the listener for scripts."""
        response, _ = self.ask(f"/recording/{self.tokens[0]}/scripts", headers=headers)
        return str(response.headers.getRawHeaders("location")[0]).partition("9202")[2]

    def scripts_status(self, path: str) -> int:
        """Send a request to the listener for scripts."""
        dashboard = self.admin
        self.listen(AdminResource(self.scripts.endpoints(), for_other_sites=True))
        try:
            return self.status(path)
        finally:
            self.listen(dashboard)

    def test_a_viewing_ends_with_its_user(self) -> None:
        self.listen_with()
        path, olgas = self.scripts_path(bearer(VIEWER_TOKEN)), self.scripts_path(bearer(OPERATOR_TOKEN))
        self.assertEqual(self.scripts_status(path), 200)
        change_users(self.users_file, lambda found: found.pop("vera"))
        failures = len(self.lines())
        for each in (path, f"{path}page", f"{path}file?url=x", path):
            self.assertEqual(self.scripts_status(each), 403, each)
        self.assertEqual(len(self.lines()), failures + 1)
        self.assertEqual(self.scripts_status(olgas), 200)

    def test_a_viewing_ends_with_its_session(self) -> None:
        self.listen_with()
        cookie = {"Cookie": self.cookie("vera", "vera's password")}
        path = self.scripts_path(cookie)
        self.assertEqual(self.scripts_status(path), 200)
        self.ask("/logout", "POST", {**cookie, "Origin": BASE})
        self.assertEqual(self.scripts_status(path), 403)

    def test_no_viewing_begins_for_a_recording_that_cannot_be_shown(self) -> None:
        self.listen_with()
        for token in ("x" * 43, "x", self.tokens[3]):
            response, _ = self.ask(f"/recording/{token}/scripts", headers=bearer(VIEWER_TOKEN))
            self.assertEqual(response.code, 404, token)

    def test_the_audit_log_has_each_page(self) -> None:
        self.listen_with()
        path = self.where().partition("9202")[2]
        self.listen(AdminResource(self.scripts.endpoints(), for_other_sites=True))
        for each in (path, f"{path}page"):
            self.assertEqual(self.status(each), 200)
        self.assertEqual(self.lines(), [("vera", "token", "view page", "allowed")])
        self.assertEqual(self.audit.entries(1)[0]["detail"], "with scripts")

"""Logging in with a real browser, replays in a session, and what pages of other sites can do with it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.admin_server import RecordedPages, requisite
from tests.support.browser import Site
from tests.support.crawler_with_users import VIEWER_TOKEN, CrawlerWithUsers
from tests.support.page_actions import click

pytestmark = pytest.mark.browser

#: The other site is at 127.0.0.1; a browser takes localhost as another site.
FORGERIES = """
<form id=logout method=post action="{admin}/logout"></form>
<form id=login method=post action="{admin}/login"><input name=name value=vera>
<input name=password value="vera's password"><input name=next value=/></form>
<form id=erase method=post enctype="text/plain" action="{admin}/api/erase"><input name='{{"token":"' value='x"}}'>
</form>
<form id=get method=get action="{admin}/api/erase"></form>
"""
FETCHES = """
async admin => {
  const ways = [
    ["/api/erase", {method: "POST", mode: "no-cors", credentials: "include", body: '{"token":"x"}'}],
    ["/api/erase", {method: "POST", credentials: "include", body: '{"token":"x"}',
      headers: {"Content-Type": "application/json"}}],
    ["/api/recordings/x", {method: "DELETE", credentials: "include"}],
    ["/logout", {method: "POST", mode: "no-cors", credentials: "include"}],
    ["/api/recordings", {credentials: "include"}],
    ["/api/recordings", {mode: "no-cors", credentials: "include"}],
  ];
  const seen = [];
  for (const [path, options] of ways) {
    try { const answer = await fetch(admin + path, options); seen.push(await answer.text()); }
    catch (error) { seen.push(""); }
  }
  return seen;
}
"""
#: A font with one letter: an "a" that is three times as wide as it is high.
FONT = (
    "eNqFUj1Lw1AUPS+Jsa2hNejg4BDBwc1PioMgFlxVqoObPtrYIokptYU4CI7i5OjoD3DTwR/gKE5Ozg4FF0HdxHjykoqKxRPue/ecm3c/XgIBIIcj"
    "6HBW1ydnljaXLwExQXW74ssGLFyRn5LP1byDnZWokyW/JZ+qu7K6e1e6p39BK9Yp5B9yL/QfaeN1vxVao/QgjrlkvKAiMcKMEDfkpi/DBgyY5Bly"
    "Z0/67nNh6IT8nXyjEey32BehrcVxxL3Szp4O7a3Cwht0vYM/MHAtXrnp0FKBZ3Qnmo8jSVxl+g5NKRq7ESn/Dd3M8xb6+Mb/+JF9keAm+fSCQ6t2"
    "u1O146mHuQq1G+oNI+1ORlGyRudflSzea7duldPz/LQ9a9P9sFJd3YrSx+zYjwPMWExPCVWzO30/GasbWSom/4/E15DHYCkIy26t7ckmSggQogwX"
    "NbThccJm8r164xNPGUiQ"
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
RECORDED = """
<!DOCTYPE html><link rel=stylesheet href=/a.css><span id=text>a</span><img id=image src=/i.png>
<svg id=drawing><use href=/s.svg#s /></svg>
"""
STYLE = "@font-face { font-family: Box; src: url(/f.ttf) } #text { font: 100px Box; color: rgb(1, 2, 3) }"
DRAWING = "<svg xmlns='http://www.w3.org/2000/svg'><symbol id='s'><rect width='9' height='9'/></symbol></svg>"
SHOWN = """
async () => {
  await document.fonts.load("100px Box");
  const of = id => document.getElementById(id);
  return [getComputedStyle(of("text")).color, of("text").getBoundingClientRect().width, of("image").naturalWidth,
    of("drawing").firstChild.getBoundingClientRect().width];
}
"""


@pytest.fixture(name="crawler", scope="module")
def _crawler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrawlerWithUsers]:
    folder = tmp_path_factory.mktemp("crawler")
    files = (
        requisite("/a.css", STYLE.encode(), "text/css"),
        requisite("/i.png", base64.b64decode(PNG), "image/png"),
        requisite("/f.ttf", zlib.decompress(base64.b64decode(FONT)), "font/ttf"),
        requisite("/s.svg", DRAWING.encode(), "image/svg+xml"),
    )
    pages = RecordedPages(folder)
    pages.record(RECORDED.encode(), files=files)
    pages.close()
    made = CrawlerWithUsers(folder, 'queue = "sqlite:///q.db"', 'archive_dir = "archive"')
    yield made
    made.close()


@pytest.fixture(name="admin", params=["localhost", "127.0.0.1"])
def _admin(request: pytest.FixtureRequest, crawler: CrawlerWithUsers) -> str:
    return f"http://{request.param}:{crawler.port}"


def log_in(page: Any, admin: str, name: str = "olga", path: str = "/") -> None:
    page.goto(f"{admin}{path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(f"{name}'s password")
    click(page.get_by_role("button", name="Log in"))
    page.get_by_role("button", name="Log out").wait_for()


def test_in_and_out(page: Any, context: Any, admin: str) -> None:
    log_in(page, admin, path="/recordings?node=n1")
    assert page.url == f"{admin}/recordings?node=n1"
    assert "olga" in page.locator(".user").inner_text()
    (cookie,) = context.cookies(admin)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == ("lbc-admin", True, "Lax", "/")
    assert page.evaluate("document.cookie") == ""
    click(page.get_by_role("button", name="Log out"))
    page.wait_for_url(f"{admin}/login")
    assert context.cookies(admin) == []
    page.evaluate("history.back()")
    page.get_by_label("Password").wait_for()
    assert "olga" not in page.content()


def test_a_wrong_password_is_reported(page: Any, crawler: CrawlerWithUsers) -> None:
    page.goto(f"http://localhost:{crawler.port}/login")
    page.get_by_label("Name").fill("vera")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert page.get_by_label("Name").input_value() == "vera"
    assert page.get_by_label("Password").input_value() == ""


def test_it_needs_no_script_and_fits_a_phone(page: Any, crawler: CrawlerWithUsers) -> None:
    admin = f"http://localhost:{crawler.port}"
    page.route("**/*.js", lambda route: route.abort())
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{admin}/login")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    log_in(page, admin)
    assert page.locator(".top").evaluate("each => each.scrollWidth") <= 320


def test_a_link_in_a_mail_leads_to_the_page(page: Any, site: Site, crawler: CrawlerWithUsers) -> None:
    admin = f"http://localhost:{crawler.port}"
    log_in(page, admin)
    page.goto(site.add("/mail", head="", body=f'<a href="{admin}/recordings">look</a>'))
    click(page.get_by_role("link", name="look"))
    page.get_by_role("button", name="Log out").wait_for()


def test_a_replay_has_its_files_in_a_session_and_nothing_without(
    page: Any, context: Any, admin: str, crawler: CrawlerWithUsers
) -> None:
    (recording,) = crawler.ask("GET", "/api/recordings", VIEWER_TOKEN)[1]["recordings"]
    token = recording["token"]
    asked: dict[str, int] = {}
    page.on("response", lambda response: asked.update({response.url: response.status}))
    log_in(page, admin, "vera", f"/recording/{token}")
    page.wait_for_load_state("load")
    (frame,) = (each for each in page.frames if "/replay/" in each.url)
    assert frame.evaluate(SHOWN) == ["rgb(1, 2, 3)", 300, 1, 9]
    replayed = {url: status for url, status in asked.items() if url.startswith(f"{admin}/replay/{token}/")}
    assert set(replayed.values()) == {200}
    assert len(replayed) == 5
    context.clear_cookies()
    for url in replayed:
        answer = page.request.get(url, headers={"Accept": "*/*"})
        assert (answer.status, "www-authenticate" in answer.headers) == (401, True)
        assert b"log in first" in answer.body()
    frame.goto(frame.url)
    assert frame.url.startswith(f"{admin}/login?next=/replay/")
    assert frame.get_by_label("Password").is_visible()


def test_another_site_can_do_nothing(page: Any, context: Any, site: Site, crawler: CrawlerWithUsers) -> None:
    admin = f"http://localhost:{crawler.port}"
    log_in(page, admin)
    before = context.cookies(admin)
    lines = crawler.audit()
    forging = site.add("/forging", head="", body=FORGERIES.format(admin=admin))
    for form in ("logout", "login", "erase", "get"):
        page.goto(forging)
        with page.expect_navigation():
            page.evaluate("id => document.getElementById(id).submit()", form)
        assert "olga" not in page.content()
    page.goto(forging)
    assert page.evaluate(FETCHES, admin) == [""] * 6
    for markup in (
        f'<iframe src="{admin}/"></iframe>',
        f'<img src="{admin}/api/recordings"><script src="{admin}/live"></script>',
    ):
        page.goto(site.add("/framing", head="", body=markup))
        assert all("olga" not in frame.content() for frame in page.frames)
    assert context.cookies(admin) == before
    assert crawler.audit() == lines
    page.goto(admin)
    page.get_by_role("button", name="Log out").wait_for()


def test_another_port_of_the_host_can_do_nothing(
    page: Any, context: Any, site: Site, crawler: CrawlerWithUsers
) -> None:
    """Ports of a host are one site, and share cookies; their pages have other origins."""
    admin = f"http://127.0.0.1:{crawler.port}"
    log_in(page, admin)
    lines = crawler.audit()
    forging = site.add("/forging", head="", body=FORGERIES.format(admin=admin))
    for form in ("logout", "login", "erase"):
        page.goto(forging)
        with page.expect_navigation():
            page.evaluate("id => document.getElementById(id).submit()", form)
    page.goto(forging)
    assert page.evaluate(FETCHES, admin) == [""] * 6
    page.evaluate("document.cookie = 'lbc-admin=tossed; path=/api'")
    page.goto(admin)
    page.get_by_role("button", name="Log out").wait_for()
    assert page.evaluate("fetch('/api/stats').then(answer => answer.status)") == 200
    assert crawler.audit() == lines

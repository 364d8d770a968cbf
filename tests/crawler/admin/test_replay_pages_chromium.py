"""A real browser that shows recordings of hostile pages asks nothing of anybody but the crawler.

Each page is another way to make a browser load something or go somewhere. All names lead to loopback, where a listener
takes note of every connection; so do the addresses of the site and of a tracker.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.crawler.admin.replay_pages import REPLAY_POLICY
from lbcompanion.crawler.replay.addresses import ReplayAddresses
from lbcompanion.crawler.replay.html_rewriting import rewrite_page
from tests.support.admin_server import AdminServer, RecordedPages, requisite
from tests.support.browser import ARGUMENTS
from tests.support.fixed_server import Server
from tests.support.hearing import Listener
from tests.support.hostile_pages import ENCODED, FIELDS, HOSTILE, SVG
from tests.support.programs import need_program

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def outside() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPages]:
    found = RecordedPages(tmp_path_factory.mktemp("archive"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def crawler(recorded: RecordedPages) -> Iterator[AdminServer]:
    server = AdminServer(recorded.get)
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, outside: Listener) -> Iterator[Any]:
    """A browser for which every name and every port but the crawler's leads to the listener."""
    chromium = need_program("chromium")
    from playwright.sync_api import sync_playwright

    rules = f"--host-resolver-rules=MAP *.test 127.0.0.1:{outside.port}, MAP www.example.com 127.0.0.1:{outside.port}"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=chromium,
            headless=True,
            args=[*ARGUMENTS, rules],
        )
        yield launched
        launched.close()


def filled(text: str, outside: Listener) -> list[str]:
    """A hostile page for the tracker's name, and for its address."""
    hosts = "tracker.test", f"127.0.0.1:{outside.port}"
    return [
        text.replace("{t}", f"http://{h}")
        .replace("{u}", f"//{h}")
        .replace("{h}", h)
        .replace("{{", "{")
        .replace("}}", "}")
        for h in hosts
    ]


def look(browser: Any, address: str) -> Any:
    page = browser.new_page()
    page.goto(address, wait_until="load")
    page.mouse.click(5, 5)
    page.wait_for_timeout(150)
    return page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_reaches_nobody(
    name: str, recorded: RecordedPages, crawler: AdminServer, browser: Any, outside: Listener
) -> None:
    for markup in filled(HOSTILE[name], outside):
        whole = f"<!DOCTYPE html><p id=seen>seen</p>{markup}"
        token = recorded.record(whole.encode(), f"/{name.replace(' ', '-')}", origin="http://www.example.com")
        look(browser, f"{crawler.origin}/replay/{token}/").close()
    assert outside.heard == []


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    """A server that adds nothing to its answers."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def tracker() -> Iterator[Listener]:
    """Another listener, so that what one page does late is not counted for the next one."""
    listener = Listener()
    yield listener
    listener.close()


def show(page: bytes, fields: dict[str, str], bare: Server, browser: Any) -> None:
    bare.answers["/"] = 200, {"Content-Type": "text/html; charset=utf-8", **fields}, page
    look(browser, f"{bare.origin}/").close()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_policy_alone_stops_each_request(name: str, bare: Server, browser: Any, tracker: Listener) -> None:
    """The page is not rewritten. Browsers may still connect without a request: for ``preconnect``, for frames."""
    page = f"<!DOCTYPE html><p id=seen>seen</p>{filled(HOSTILE[name], tracker)[1]}"
    show(page.encode(), {"Content-Security-Policy": REPLAY_POLICY}, bare, browser)
    assert [each for each in tracker.heard if each] == []


@pytest.mark.parametrize("name", HOSTILE)
def test_the_rewriting_alone_stops_each_request(name: str, bare: Server, browser: Any, tracker: Listener) -> None:
    """The page has no policy."""
    page = f"<!DOCTYPE html><p id=seen>seen</p>{filled(HOSTILE[name], tracker)[1]}"
    addresses = ReplayAddresses("T", "utf-8", {}, {})
    found = rewrite_page(page.encode(), "http://www.example.com/", "text/html; charset=utf-8", addresses)
    show(found.body, {}, bare, browser)
    assert tracker.heard == []


@pytest.mark.parametrize("name", ENCODED)
def test_a_page_in_another_encoding_reaches_nobody(
    name: str, recorded: RecordedPages, crawler: AdminServer, browser: Any, outside: Listener
) -> None:
    body, content_type = ENCODED[name]
    given = "{t}".encode("utf-16-le") if name.startswith("utf-16") else b"{t}"
    target = f"http://127.0.0.1:{outside.port}"
    body = body.replace(given, target.encode("utf-16-le" if name.startswith("utf-16") else "ascii"))
    token = recorded.record(body, f"/{name.replace(' ', '-')}", content_type=content_type)
    look(browser, f"{crawler.origin}/replay/{token}/").close()
    assert outside.heard == []


def test_fields_and_files_reach_nobody(
    recorded: RecordedPages, crawler: AdminServer, browser: Any, outside: Listener
) -> None:
    target = f"http://tracker.test:{outside.port}"
    fields = tuple((name, filled(value, outside)[0]) for name, value in FIELDS)
    drawing = f"{SVG}<image href='{target}/c'/><script href='{target}/d'/></svg>"
    files = (
        requisite("/a.css", f"@import '{target}/a'; body {{ background: url({target}/b) }}".encode(), "text/css"),
        requisite("/a.svg", drawing.encode(), "image/svg+xml"),
        requisite("/a.html", f"<img src={target}/e><script src={target}/f></script>".encode(), "text/html"),
    )
    markup = (
        "<link rel=stylesheet href=/a.css><img src=/a.svg><iframe src=/a.svg></iframe><object data=/a.svg></object>"
        "<iframe src=/a.html></iframe><embed src=/a.html><svg><use href=/a.svg#x /></svg>"
    )
    token = recorded.record(markup.encode(), "/fields", files, fields=fields)
    look(browser, f"{crawler.origin}/replay/{token}/").close()
    for each in files[1:2]:
        look(browser, f"{crawler.origin}/replay/{token}/file?url={each.url}").close()
    assert outside.heard == []


def test_the_views_of_a_recording_reach_nobody(
    recorded: RecordedPages, crawler: AdminServer, browser: Any, outside: Listener
) -> None:
    markup = "".join(filled(each, outside)[1] for each in HOSTILE.values() if "plaintext" not in each)
    token = recorded.record(markup.encode(), "/all")
    for view in ("", "/source", "/headers", "/files"):
        look(browser, f"{crawler.origin}/recording/{token}{view}").close()
    assert outside.heard == []


def test_links_stay_in_the_archive(
    recorded: RecordedPages, crawler: AdminServer, browser: Any, outside: Listener
) -> None:
    recorded.record(b"<p>the other page", "/other")
    target = f"http://127.0.0.1:{outside.port}"
    links = f"<a id=a href=/other target=_blank>x</a><a id=b href={target}>x</a><a id=c href=javascript:alert(1)>x</a>"
    form = f"<form action={target}><button id=d>x</button></form><button id=e formaction={target} form=f>x</button>"
    token = recorded.record((links + form).encode(), "/links")
    shown, outcomes = {}, {"a": "the other page", "b": "Not recorded", "c": "runs a script"}
    for name in "abcde":
        page = browser.new_page()
        page.goto(f"{crawler.origin}/recording/{token}")
        frame = next(each for each in page.frames if "/replay/" in each.url)
        # A listener of the document would not be called: its scripts do not run.
        frame.locator(f"#{name}").click()
        if name in outcomes:
            frame.locator("body", has_text=outcomes[name]).wait_for()
        else:
            page.wait_for_timeout(300)
        shown[name] = frame.locator("body").inner_text()
        page.close()
    assert shown["d"] == shown["e"]
    assert outside.heard == []


def test_the_listener_hears_what_a_browser_loads(browser: Any, outside: Listener, crawler: AdminServer) -> None:
    """Without this the others would prove nothing."""
    page = browser.new_page()
    page.set_content(f"<img src=http://tracker.test/a><img src=http://127.0.0.1:{outside.port}/b>")
    until = time.monotonic() + 60
    while len(outside.heard) < 2 and time.monotonic() < until:
        page.wait_for_timeout(50)
    page.close()
    heard = sorted(each.split(b" ")[1] for each in outside.heard)
    assert heard == [b"/a", b"/b"]
    outside.heard.clear()


def test_what_the_recording_has_is_shown(recorded: RecordedPages, crawler: AdminServer, browser: Any) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    sprite = f"{SVG}<symbol id='s' viewBox='0 0 9 9'><rect id='r' width='9' height='9' fill='red'/></symbol></svg>"
    files = (
        requisite("/s/a.css", b"@import 'b.css'; #a { color: rgb(1, 2, 3) }", "text/css"),
        requisite("/s/b.css", b"#b::before { content: '\xe4' } #b { color: rgb(4, 5, 6) }", "text/css"),
        requisite("/s/i.png", png, "image/png"),
        requisite("/s/s.svg", sprite.encode(), "image/svg+xml"),
    )
    markup = (
        "<meta charset=latin1><base href=/s/><link rel=stylesheet href=a.css><p id=a>\u00e4</p><p id=b>x</p>"
        "<img id=i src=i.png><img id=j srcset='gone.png 2x, i.png 1x'><img id=k src=gone.png>"
        "<svg id=u><use href=s.svg#s /></svg>"
        "<script>document.getElementById('a').remove()</script>"
        "<picture><source srcset=gone.webp><img id=l src=i.png></picture>"
    )
    token = recorded.record(
        markup.encode("latin-1"),
        "/shown",
        files,
        content_type="text/html",
        missing={"http://www.example.com/s/gone.png": "404"},
    )
    page = look(browser, f"{crawler.origin}/replay/{token}/")
    color = "each => getComputedStyle(each).color"
    assert page.locator("#a").inner_text() == "\u00e4"
    assert page.locator("#a").evaluate(color) == "rgb(1, 2, 3)"
    assert page.locator("#b").evaluate(color) == "rgb(4, 5, 6)"
    assert page.locator("#b").evaluate("each => getComputedStyle(each, '::before').content") == '"\u00e4"'
    widths = {each: page.locator(f"#{each}").evaluate("each => each.naturalWidth") for each in "ijkl"}
    assert widths == {"i": 1, "j": 1, "k": 240, "l": 1}
    assert page.locator("#k").get_attribute("title") == "Not recorded: 404"
    assert page.locator("#u use").evaluate("each => each.getBoundingClientRect().width") > 0
    page.close()

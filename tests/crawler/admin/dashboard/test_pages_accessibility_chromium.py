"""The dashboard's pages in a real browser: axe-core finds nothing, in light and dark, on desks and phones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.crawler.activity import ARCHIVED, LOST, SEEN, Bucket, Counts
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.queue.activity_table import ActivityTable
from tests.support.admin_server import ORIGIN, AdminServer, RecordedPages
from tests.support.archives import NOW
from tests.support.page_actions import click
from tests.support.programs import need_library
from tests.support.simulated_farm import immediately

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_VISITOR = "v1AAAAAAAAAAAAAAAAAAAAAA"
_WIDTHS = {"desk": 1280, "phone": 390}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AdminServer, list[str]]]:
    pages = RecordedPages(tmp_path_factory.mktemp("pages"))
    table = ActivityTable(pages.place.database, "one")
    minute = int(NOW) // 60 * 60
    counts = {
        Bucket(minute, 60, "n1", SEEN): Counts(9),
        Bucket(minute, 60, "n1", ARCHIVED): Counts(8, 9, 5000, 12.0, [7, 8, 8, 8]),
        Bucket(minute, 60, "n1", LOST, "expired"): Counts(1, 3),
    }
    table.add(counts, NOW)
    pages.use(activity=ActivityApi(table, immediately, lambda: NOW))
    tokens = [
        pages.record(f"<title>Cart {n}</title><p>{n}".encode(), "/cart", visitor=_VISITOR, at=NOW + n) for n in (1, 2)
    ]
    # Files shows what the scripts of the page asked for.
    pages.get_with_scripts(f"/{pages.key(tokens[0])}/{tokens[0]}/image?url={ORIGIN}/icon.png")
    server = AdminServer(pages.get)
    yield server, tokens
    server.close()
    pages.close()


@pytest.fixture(scope="module")
def axe() -> str:
    return files(need_library("axe_playwright_python")).joinpath("axe.min.js").read_text()


def paths(tokens: list[str]) -> list[str]:
    return [
        "/?hours=1",
        "/recordings",
        "/recordings?node=none",
        f"/recording/{tokens[0]}",
        *(f"/recording/{tokens[0]}/{view}" for view in ("source", "headers", "files")),
        "/visitors",
        f"/visitors/{_VISITOR}",
        f"/versions?url={ORIGIN}/cart",
        f"/compare?a={tokens[0]}&b={tokens[1]}",
        f"/replay/{tokens[0]}/link?url={ORIGIN}/nowhere",
        f"/replay/{tokens[0]}/frame?url={ORIGIN}/nowhere",
    ]


def violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    # The frames hold archived pages, which are as their authors made them.
    found = page.evaluate("axe.run({exclude: ['iframe']}, {iframes: false})")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(_WIDTHS))
def test_axe_finds_nothing(page: Any, recorded: Any, axe: str, scheme: str, size: str) -> None:
    server, tokens = recorded
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": _WIDTHS[size], "height": 800})
    problems = {}
    for path in paths(tokens):
        page.goto(server.origin + path)
        if found := violations(page, axe):
            problems[path] = found
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            problems[f"{path} (too wide)"] = [page.evaluate("document.documentElement.scrollWidth")]
    assert problems == {}


def test_the_list_of_recordings_fits_a_small_desk(page: Any, recorded: Any) -> None:
    server, _ = recorded
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto(f"{server.origin}/recordings")
    page.locator("tbody time small").first.wait_for()
    page.evaluate("document.querySelector('td.url a').textContent = 'A long title of a page, '.repeat(9)")
    assert page.evaluate("(each => each.scrollWidth - each.clientWidth)(document.querySelector('.scroll'))") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_around_a_page_with_its_scripts(page: Any, axe: str, scheme: str, tmp_path: Path) -> None:
    pages = RecordedPages(tmp_path)
    server = AdminServer(pages.get_with_scripts)
    try:
        token = pages.record(b"<title>Cart</title><a href=/nowhere>x</a>", "/cart")
        page.emulate_media(color_scheme=scheme)
        start = f"{server.origin}/{pages.key(token)}/{token}/"
        page.goto(start)
        assert violations(page, axe) == []
        page.goto(f"{start}link?url={ORIGIN}/nowhere")
        assert violations(page, axe) == []
    finally:
        server.close()
        pages.close()


def test_axe_finds_nothing_on_the_log_in_page(page: Any, recorded: Any, axe: str) -> None:
    server, _ = recorded
    for why in ("", "name or password is wrong"):
        html = render("login.html", here="", next="/", name="ann", why=why)
        page.goto(server.origin + "/visitors")
        page.set_content(html)
        assert violations(page, axe) == []


def test_the_focus_stays_while_the_page_is_renewed(page: Any, recorded: Any) -> None:
    server, tokens = recorded
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(server.origin + "/?hours=1")
    link = page.locator(f'#live a[href="/recording/{tokens[0]}"]')
    link.focus()
    before = len([path for path in server.asked if path.startswith("/live")])
    # Something changes, so that the part is replaced.
    page.evaluate("document.querySelector('#live').lastElementChild.remove()")
    until = time.monotonic() + 60
    while len([path for path in server.asked if path.startswith("/live")]) < before + 2:
        assert time.monotonic() < until
        page.wait_for_timeout(100)
    page.wait_for_function("document.querySelector('#live').innerText.endsWith('All recordings')")
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"/recording/{tokens[0]}"


def test_the_health_is_shown_in_words_and_what_is_open_stays_open(page: Any, recorded: Any) -> None:
    server, _ = recorded
    page.goto(server.origin + "/?hours=1")
    part = page.get_by_role("region", name="Parts that need attention").get_by_role("row").nth(1)
    assert part.locator("td").all_inner_texts()[:3] == [
        "warning",
        "node n1",
        "1 of 9 pages of the last hour are lost, most of them: expired.",
    ]
    assert part.get_by_role("link", name="Its lost recordings").get_attribute("href").endswith("node=n1&outcome=lost")
    details = page.locator('#live details[data-key="working"]')
    click(details.locator("summary"))
    assert "The queue's database can be read and written." in details.inner_text()
    page.evaluate("document.querySelector('#live').lastElementChild.remove()")
    page.locator("#live").get_by_role("link", name="All recordings").wait_for(timeout=90_000)
    assert details.get_attribute("open") is not None


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Kolkata", "1 Jan 1970, 05:30:01 (00:00:01 UTC)"),
        ("America/New_York", "31 Dec 1969, 19:00:01 (1970-01-01 00:00:01 UTC)"),
        ("UTC", "1 Jan 1970, 00:00:01 UTC"),
    ],
)
def test_the_readers_time_has_utc_beside_it(page: Any, recorded: Any, zone: str, shown: str) -> None:
    server, tokens = recorded
    context = page.context.browser.new_context(timezone_id=zone, locale="en-GB")
    try:
        other = context.new_page()
        other.goto(f"{server.origin}/recording/{tokens[0]}")
        assert other.locator("time").first.inner_text() == shown
    finally:
        context.close()


def test_times_are_the_readers_own(page: Any, recorded: Any) -> None:
    server, _ = recorded
    page.goto(server.origin + "/recordings")
    shown = page.locator("tbody time").first
    assert "UTC" in shown.get_attribute("title")
    page.fill('input[name="to"]', "2030-01-02T03:04")
    click(page.locator("form button").first)
    page.wait_for_url("**to=2030*")
    assert "Z&" in page.url or page.url.endswith("Z")

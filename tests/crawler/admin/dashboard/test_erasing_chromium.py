"""A page is found by visitor, time and node, exported and erased: by the keyboard alone, at a desk and on a phone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.admin_server import RecordedPages
from tests.support.crawler_with_users import OPERATOR_TOKEN, CrawlerWithUsers
from tests.support.page_actions import PATIENCE_MS
from tests.support.programs import need_library

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_ZONE = "Europe/Berlin"
_VISITORS = ("v1" + "A" * 22, "v1" + "B" * 22)
_SIZES = {"desk": (1280, 800, "light"), "phone": (390, 800, "dark")}
#: The name of the focused element as a reader of the page knows it, and whether the focus can be seen. A field for a
#: time is not matched by :focus-visible while its button has the focus; the browser draws a frame around that.
_FOCUSED = """() => {
  const at = document.activeElement;
  const name = at.labels?.[0]?.innerText ?? at.innerText ?? "";
  const isButtonOfTime = at.type === "datetime-local" && !at.matches(":focus");
  const isSeen = getComputedStyle(at).outlineStyle !== "none" || at === document.body || isButtonOfTime;
  return [name.trim(), isSeen, at.tagName];
}"""
#: Enough for the links before the content, the filters, and the parts of a time.
_MOST_TABS = 60


def _at(hour: int, minute: int) -> float:
    return datetime(2026, 11, 27, hour, minute, 30, tzinfo=ZoneInfo(_ZONE)).timestamp()


@pytest.fixture
def crawler(tmp_path: Path) -> Iterator[CrawlerWithUsers]:
    pages = RecordedPages(tmp_path)
    for visitor in _VISITORS:
        for node in ("n1", "n2"):
            for minute in (4, 5, 6):
                body = f"<title>Cart</title><p>{visitor[2]} at 14:0{minute} on {node}</p>".encode()
                pages.record(body, "/cart", visitor=visitor, node=node, owner=node, viewed_at=_at(14, minute))
    pages.close()
    made = CrawlerWithUsers(tmp_path, 'queue = "sqlite:///q.db"', 'archive_dir = "archive"')
    yield made
    made.close()


class Keyboard:
    """Somebody who has no mouse, and knows only what the page says."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.keys = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.keys += len(text)

    def goes_to(self, name: str) -> None:
        """Press Tab until the element with this name, or a name that begins like this, has the focus."""
        for _ in range(_MOST_TABS):
            self.press("Tab")
            found, is_seen, tag = self.page.evaluate(_FOCUSED)
            assert is_seen, (found, tag)
            if found.startswith(name):
                return
        raise AssertionError(f"Tab does not lead to {name!r}")

    def enters(self, what: str) -> None:
        """Press Enter, and wait for the page whose heading this is."""
        self.press("Enter")
        self.page.get_by_role("heading", level=1, name=what).wait_for(timeout=PATIENCE_MS)


@pytest.mark.parametrize("size", list(_SIZES))
def test_a_page_is_found_exported_and_erased_by_the_keyboard(
    context: Any, crawler: CrawlerWithUsers, size: str, tmp_path: Path
) -> None:
    width, height, scheme = _SIZES[size]
    other = context.browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id=_ZONE, locale="en-GB"
    )
    page = other.new_page()
    page.set_default_timeout(PATIENCE_MS)
    person = Keyboard(page)
    page.goto(f"http://localhost:{crawler.port}/recordings")
    person.goes_to("Name")
    person.type("olga")
    person.goes_to("Password")
    person.type("olga's password")
    person.enters("Recordings")
    # The browser has the fields of a time in its own language, which is American English.
    person.goes_to("Seen from")
    person.type("11272026")
    person.press("ArrowRight")
    person.type("0205P")
    person.goes_to("to")
    person.type("11272026")
    person.press("ArrowRight")
    person.type("0206P")
    person.goes_to("Made by node")
    person.type("n2")
    person.goes_to("Visitor")
    person.type("v1BBBBBB")
    person.goes_to("Search")
    person.press("Enter")
    page.wait_for_url("**visitor=v1BBBBBB**")
    assert page.locator("tbody tr").count() == 1
    page.locator("tbody tr", has_text="14:05:30").wait_for()
    person.goes_to("Cart")
    person.enters("http://www.example.com/cart")
    assert page.frame_locator("iframe").locator("p").inner_text() == "B at 14:05 on n2"
    person.goes_to("Export as WACZ")
    with page.expect_download() as download:
        person.press("Enter")
    assert download.value.suggested_filename == "page-www.example.com-2026-11-27-130530Z.wacz"
    download.value.save_as(tmp_path / "x.wacz")
    with zipfile.ZipFile(tmp_path / "x.wacz") as packed:
        assert packed.testzip() is None
    person.goes_to("Erase")
    person.enters("Erase this recording?")
    page.locator(".message", has_text="14:05:30").wait_for()  # a script shows the reader's own time
    person.goes_to("Erase")
    person.enters("Erased")
    assert "Recordings erased: 1." in page.locator(".message").inner_text()
    left = crawler.ask("GET", "/api/recordings", OPERATOR_TOKEN)[1]["recordings"]
    assert len(left) == 11
    gone = [each for each in left if (each["visitor"], each["origin_node"]) == (_VISITORS[1], "n2")]
    assert sorted(each["viewed_at"][11:16] for each in gone) == ["13:04", "13:06"]
    print(f"{size}: {person.keys} keys")
    other.close()


def test_axe_finds_nothing_where_one_erases_and_a_viewer_cannot(page: Any, crawler: CrawlerWithUsers) -> None:
    from importlib.resources import files

    axe = files(need_library("axe_playwright_python")).joinpath("axe.min.js").read_text()
    token = crawler.ask("GET", "/api/recordings", OPERATOR_TOKEN)[1]["recordings"][0]["token"]
    admin = f"http://localhost:{crawler.port}"
    for name in ("vera", "olga"):
        page.goto(f"{admin}/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(f"{name}'s password")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Log out").wait_for(timeout=PATIENCE_MS)
        is_operator = name == "olga"
        for path in (f"/recording/{token}", f"/visitors/{_VISITORS[1]}"):
            page.goto(admin + path)
            assert (page.get_by_role("link", name="Erase").count() > 0) is is_operator, path
        allowed = 200 if is_operator else 403
        statuses = {f"/recording/{token}/erase": allowed, f"/recording/{token}/erase-visitor": allowed}
        for path, status in {**statuses, "/recording/none": 404, "/recordings?status=x": 400}.items():
            assert page.goto(admin + path).status == status, path
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.evaluate(axe)
                found = page.evaluate("axe.run()")["violations"]
                assert [each["id"] for each in found] == [], (path, scheme)
        page.context.clear_cookies()

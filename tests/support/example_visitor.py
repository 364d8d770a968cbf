"""A visitor of an example with a real Chromium, who remembers every page, and the visit of the examples' guest book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.browser import ARGUMENTS
from tests.support.example_farm import ExampleFarm, PageView
from tests.support.page_actions import PATIENCE_MS, PageLog, click, navigating
from tests.support.programs import need_program
from tests.support.visitor import without_tag

MEGABYTE = 1_000_000


@contextmanager
def running_chromium() -> Iterator[Any]:
    """A Chromium, in which each visitor has a profile of their own."""
    program = need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


class ExampleVisitor:
    """Somebody with cookies of their own.

    :ivar views: every page that was seen.
    :ivar node: the node to which the balancer sends them since the first page.
    :ivar cookies: what they had when they left.
    :ivar page: the browser's page, of Playwright.
    """

    def __init__(self, browser: Any, farm: ExampleFarm) -> None:
        self.views: list[PageView] = []
        self.node = ""
        self.cookies: dict[str, str] = {}
        self._farm = farm
        self._context = browser.new_context()
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self._log = PageLog(self.page)
        self._errors: list[str] = []
        self.page.on("pageerror", lambda error: self._errors.append(str(error)))

    def see(self, action: Callable[[], object]) -> PageView:
        """Do what leads to another page, and look at it."""
        with navigating(self.page, self._log) as navigation:
            action()
        answer = navigation.value
        body, token = without_tag(answer.body())
        view = PageView(answer.url, answer.request.method, answer.status, token, body)
        self.views.append(view)
        self.node = self.node or self._whoami()
        return view

    def _whoami(self) -> str:
        answer = self.page.request.get(f"{self._farm.origin}/_lbc/whoami")
        return str(answer.json()["node"])

    def goes(self, path: str) -> PageView:
        """Open an address of the site."""
        return self.see(lambda: self.page.goto(self._farm.origin + path))

    def clicks(self, selector: str) -> PageView:
        """Click on what leads to another page."""
        return self.see(lambda: click(self.page.locator(selector).first))

    def reads(self, selector: str, text: str) -> None:
        """Check what an element says."""
        found = self.page.inner_text(selector)
        assert text in found, f"{selector} of {self.page.url} says {found!r}, not {text!r}"

    def leaves(self) -> None:
        """Close the browser's profile."""
        self.cookies = {cookie["name"]: cookie["value"] for cookie in self._context.cookies()}
        self._context.close()
        assert self._errors == []


def visit_guest_book(visitor: ExampleVisitor) -> None:
    """A visit with all that the examples' guest book has."""
    visitor.goes("/")
    visitor.reads("#visitor", "Nobody is logged in")
    visitor.clicks("#login")
    _log_in(visitor, "wrong")
    visitor.reads("#message", "wrong")
    _log_in(visitor, "secret")
    assert visitor.views[-1].method == "GET", "after the log-in comes a redirect"
    visitor.reads("#visitor", "Hello ada")
    _write(visitor)
    assert len(visitor.clicks("#big").body) > MEGABYTE
    visitor.clicks("#home")
    _load_fragment(visitor)
    visitor.clicks("#leave")
    visitor.reads("#visitor", "Nobody is logged in")


def look_into_guest_book(visitor: ExampleVisitor) -> None:
    """A short visit."""
    visitor.goes("/")
    visitor.clicks("#login")
    _log_in(visitor, "secret")
    visitor.reads("#visitor", "Hello ada")
    visitor.clicks("#leave")


Visit = Callable[[ExampleVisitor], None]


def visits_to_both_nodes(
    farm: ExampleFarm, long: Visit = visit_guest_book, short: Visit = look_into_guest_book
) -> list[ExampleVisitor]:
    """A long visit, and short ones until both nodes had one; each page of them has to be archived."""
    with running_chromium() as browser:
        visitors = [ExampleVisitor(browser, farm)]
        long(visitors[0])
        while len({visitor.node for visitor in visitors}) < 2:
            assert len(visitors) < 30, "the balancer uses one node only"
            visitors.append(ExampleVisitor(browser, farm))
            short(visitors[-1])
        found = farm.check_archived([view for visitor in visitors for view in visitor.views])
        for visitor in visitors:
            visitor.leaves()
            assert {found[view.token]["origin_node"] for view in visitor.views} == {visitor.node}, "did not stick"
    return visitors


def _log_in(visitor: ExampleVisitor, password: str) -> None:
    visitor.page.fill("#name", "ada")
    visitor.page.fill("#password", password)
    visitor.clicks("#enter")


def _write(visitor: ExampleVisitor) -> None:
    """A POST that is answered with a page, and one that is answered with a redirect."""
    text = 'Zoë <b> & "more" – 日本'
    visitor.page.fill("#text", text)
    assert visitor.clicks("#preview").method == "POST"
    visitor.reads("#message", f"Preview: {text}")
    visitor.page.fill("#text", text)
    assert visitor.clicks("#write").method == "GET"
    visitor.reads("#message", "The entry was written.")
    visitor.reads("li", text)


def _load_fragment(visitor: ExampleVisitor) -> None:
    """A part of the page that a script fetches: it is not a page, and gets no tag."""
    with visitor.page.expect_response(lambda answer: "fragment" in answer.url.lower()) as loading:
        click(visitor.page.locator("#more"))
    body = loading.value.body()
    assert b"data-lbc-token" not in body
    visitor.page.wait_for_selector("#fragment b")
    visitor.reads("#fragment", "Fetched later")

"""People with a real browser who visit a farm, and remember every page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from tests.support.browser import ARGUMENTS
from tests.support.farm import ProcessFarm
from tests.support.page_actions import PATIENCE_MS, PageLog, click, navigating
from tests.support.programs import need_program
from tests.support.served_pages import PAGE_ID
from tests.support.visitor import View, without_tag


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    program = need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


class BrowserPerson:
    """Somebody with a browser profile of their own.

    :ivar secrets: the values of the cookies that are secret.
    :ivar cookie_names: the names of all cookies.
    :param secret_cookies: the names of the cookies that are secret.
    """

    def __init__(self, browser: Any, farm: ProcessFarm, secret_cookies: Collection[str] = ()) -> None:
        self.views: list[View] = []
        self.secrets: set[str] = set()
        self.cookie_names: set[str] = set()
        self._secret_cookies = secret_cookies
        self._origin = f"http://127.0.0.1:{farm.site}"
        self._context = browser.new_context()
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self._log = PageLog(self.page)

    def see(self, action: Callable[[], object]) -> View:
        """Do what leads to another page, and look at it."""
        with navigating(self.page, self._log) as navigation:
            action()
        answer = navigation.value
        body, token = without_tag(answer.body())
        view = View(answer.url, answer.request.method, answer.status, answer.header_value(PAGE_ID), token, body)
        self.views.append(view)
        for cookie in self._context.cookies():
            self.cookie_names.add(cookie["name"])
            if cookie["name"] in self._secret_cookies:
                self.secrets.add(cookie["value"])
        return view

    def goes(self, path: str) -> View:
        """Go to an address."""
        return self.see(lambda: self.page.goto(self._origin + path))

    def clicks(self, selector: str) -> View:
        """Click on what leads to another page."""
        return self.see(lambda: click(self.page.locator(selector).first))

    def shows(self, text: str) -> None:
        """Check that the page has this text."""
        assert text in self.page.content(), f"{text!r} is not in {self.page.url}"

"""A visitor's actions on a page of Playwright: clicks that reach their element, and navigations whose failure has the
state of the page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Milliseconds for each step of a page; other tests use the same two cores.
PATIENCE_MS = 90_000
_CLICKS = 10
_EVENTS = 30
_TEXT = 600
_TEXT_MS = 3000

_HEED = """element => {
    const heed = {clicked: false};
    element.addEventListener('click', () => { heed.clicked = true; }, {capture: true});
    return heed;
}"""


class PageLog:
    """The latest events of a page, and the requests without a response. It is a source of
    :mod:`tests.support.failure_report`.

    :param page: of Playwright.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._open: dict[Any, str] = {}
        page.on("request", self._begins)
        page.on("requestfinished", lambda request: self._ends(request, "loaded"))
        page.on("requestfailed", lambda request: self._ends(request, f"failed: {request.failure}"))
        page.on("console", lambda message: self._events.append(f"console: {message.text[:200]}"))
        page.on("pageerror", lambda error: self._events.append(f"error: {error}"))
        page.on("framenavigated", lambda frame: self._events.append(f"shown: {frame.url}"))

    def _begins(self, request: Any) -> None:
        self._open[request] = f"{request.method} {request.url}"

    def _ends(self, request: Any, how: str) -> None:
        self._events.append(f"{how}: {self._open.pop(request, request.url)}")

    def died(self) -> bool:
        """Whether the page was closed."""
        return bool(self._page.is_closed())

    def last_words(self) -> str:
        """The page's address, latest events, open requests and text."""
        try:
            text = self._page.locator("body").inner_text(timeout=_TEXT_MS)[:_TEXT]
        except Exception as failure:
            text = f"(no text: {str(failure).partition(chr(10))[0]})"
        waiting = [f"waits for: {request}" for request in self._open.values()] or ["waits for no response"]
        return "\n".join([f"---- page {self._page.url} ----", *self._events, *waiting, text])


@contextmanager
def navigating(page: Any, log: PageLog) -> Iterator[Any]:
    """Expect that the block leads to another page, and wait until it is loaded. A failure gets the page's state.

    :returns: what ``expect_navigation`` returns.
    """
    try:
        with page.expect_navigation(wait_until="load", timeout=PATIENCE_MS) as navigation:
            yield navigation
    except Exception as failure:
        failure.add_note(log.last_words())
        raise


def click(locator: Any) -> None:
    """Click on an element until it has got the click.

    ``click`` of Playwright returns without an error if the page moves between pressing the button of the mouse and
    releasing it, and then no element gets a click. DokuWiki's editor moves for up to a second after ``load``: scripts
    put a toolbar above the text, and scroll to the preview. A visitor would click once more, too.

    In a frame whose scripts do not run, use Playwright's own ``click``: no listener hears of a click there.

    :param locator: of Playwright, for an element that stays in the document.
    """
    heed = locator.evaluate_handle(_HEED)
    for _ in range(_CLICKS):
        locator.click(timeout=PATIENCE_MS)
        if _clicked(heed):
            return
    raise AssertionError(f"{locator} got no click")


def _clicked(heed: Any) -> bool:
    from playwright.sync_api import Error

    try:
        return bool(heed.evaluate("heed => heed.clicked"))
    except Error:
        return True  # the page was left, and its scripts with it

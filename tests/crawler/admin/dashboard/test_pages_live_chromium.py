"""The live parts of the dashboard in a real browser, at a running crawler: they follow the stream of outcomes.

The clock of the page is the test's, so that the number of requests does not depend on the speed of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.served_crawler import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_STREAM = "**/api/recordings/stream*"
_RENEW_MS, _QUIET_MS = 2000, 30_000
_PATIENCE_SECONDS = 90


class Requests:
    """Counts the requests of a page."""

    def __init__(self, page: Any) -> None:
        self.paths: list[str] = []
        page.on("request", lambda request: self.paths.append(request.url.split("/", 3)[3]))

    @property
    def renewals(self) -> int:
        return sum(path.startswith("live") for path in self.paths)


@pytest.fixture
def requests(page: Any, served: Served) -> Requests:
    page.context.set_extra_http_headers({"Authorization": "Bearer lbc_olga"})
    page.clock.install()
    return Requests(page)


def pass_time_until(page: Any, is_so: Callable[[], bool]) -> None:
    """Let the time of the page pass, two seconds at a time."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, page.content()
        page.clock.run_for(_RENEW_MS)
        page.wait_for_timeout(50)


def is_quiet(page: Any, requests: Requests) -> bool:
    """Let a time pass in which polling would renew the page five times."""
    before = requests.renewals
    for _ in range(5):
        page.clock.run_for(_RENEW_MS)
        page.wait_for_timeout(50)
    return requests.renewals == before


def has(page: Any, token: str) -> bool:
    return page.locator(f'#live a[href="/recording/{token}"]').count() == 1


def test_the_overview_is_renewed_as_outcomes_come_and_not_otherwise(
    page: Any, requests: Requests, served: Served
) -> None:
    page.goto(served.address + "/")
    pass_time_until(page, lambda: is_quiet(page, requests))
    before = requests.renewals
    page.locator("#live details summary").focus()
    (token,) = served.lose()
    pass_time_until(page, lambda: has(page, token))
    assert requests.renewals > before
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert sum(path.startswith("api/recordings/stream") for path in requests.paths) >= 1
    # What no outcome shows, such as the health, is renewed all the same.
    pass_time_until(page, lambda: is_quiet(page, requests))
    before = requests.renewals
    page.clock.run_for(_QUIET_MS)
    pass_time_until(page, lambda: requests.renewals > before)


def test_without_a_stream_the_overview_is_renewed_each_time(page: Any, requests: Requests, served: Served) -> None:
    page.route(_STREAM, lambda route: route.fulfill(status=503))
    page.goto(served.address + "/")
    (token,) = served.lose()
    pass_time_until(page, lambda: has(page, token))
    before = requests.renewals
    pass_time_until(page, lambda: requests.renewals >= before + 5)
    # The stream is tried again after a minute.
    tried = sum(path.startswith("api/recordings/stream") for path in requests.paths)
    assert tried < requests.renewals
    page.unroute(_STREAM)
    pass_time_until(page, lambda: is_quiet(page, requests))


def test_a_list_says_that_there_are_new_recordings_and_stays(page: Any, requests: Requests, served: Served) -> None:
    with page.expect_response(_STREAM):
        page.goto(served.address + "/recordings?outcome=lost")
    rows = page.locator("tbody tr").count()
    news = page.locator("[data-stream]")
    assert not news.is_visible()
    page.locator('input[name="url"]').focus()
    tokens: list[str] = []

    def is_said() -> bool:
        tokens.extend(served.lose())
        return bool(news.is_visible())

    pass_time_until(page, is_said)
    assert "got an outcome since" in news.inner_text()
    assert page.locator("tbody tr").count() == rows
    assert page.evaluate("document.activeElement.name") == "url"
    news.locator("a").click()
    page.locator(f'a[href="/recording/{tokens[0]}"]').wait_for()
    assert "outcome=lost" in page.url


@pytest.mark.parametrize("query", ["outcome=open", "limit=1&after={next}"])
def test_a_list_without_new_recordings_follows_nothing(
    page: Any, requests: Requests, served: Served, query: str
) -> None:
    served.lose(2)
    page.goto(served.address + "/recordings?limit=1")
    older = page.locator('a[rel="next"]').get_attribute("href").rpartition("after=")[2]
    requests.paths.clear()
    page.goto(served.address + "/recordings?" + query.format(next=older))
    page.clock.run_for(_RENEW_MS)
    assert page.locator("[data-stream]").count() == 0
    assert not any(path.startswith("api/recordings/stream") for path in requests.paths)

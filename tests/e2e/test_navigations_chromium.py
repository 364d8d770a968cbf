"""Navigations of a real browser that pass through a service worker or were fetched before: they are pages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.children import wait_for
from tests.support.companion import Companion, companion
from tests.support.page_actions import click
from tests.support.page_application import PageApplication, serving

pytestmark = pytest.mark.browser

WORKER = b"""
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(clients.claim()));
self.addEventListener("fetch", event => event.respondWith(fetch(event.request)));
"""


def html(title: str, body: str = "") -> tuple[str, bytes]:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return "text/html; charset=utf-8", page.encode()


def rules(kind: str) -> str:
    return f'<script type=speculationrules>{{"{kind}": [{{"urls": ["/next"], "eagerness": "immediate"}}]}}</script>'


@pytest.fixture(scope="module", name="front")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Companion, PageApplication]]:
    application = PageApplication(
        {
            "/": html("start", "<a id=link download href=/page?download>x</a>"),
            "/page": html("page"),
            "/worker.js": ("text/javascript", WORKER),
            "/next": html("next"),
            "/prefetch": html("prefetching", rules("prefetch")),
            "/prerender": html("prerendering", rules("prerender")),
        }
    )
    with companion(tmp_path_factory.mktemp("navigations")) as one, serving(application, one.application_port):
        yield one, application
        assert not one.failures()


def noticed(one: Companion) -> int:
    """How many notices the node got; without a crawler it does not send them on."""
    return int(one.status()["notices"].get("not sent on", 0))


def tokens(page: Any) -> list[str]:
    """The tokens in the page as the browser got it."""
    return re.findall(r'data-lbc-token="([^"]+)"', page.content())


def test_a_service_worker_that_asks_the_network_first(front: tuple[Companion, PageApplication], page: Any) -> None:
    one, application = front
    page.goto(f"http://127.0.0.1:{one.port}/")
    page.evaluate("navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    page.goto(f"http://127.0.0.1:{one.port}/page")
    fields = application.requests_for("/page")[-1]
    assert (fields["sec-fetch-dest"], fields["sec-fetch-mode"]) == ("empty", "navigate")
    assert page.title() == "page"
    assert len(tokens(page)) == 1
    # A part of the page that a script requests is none.
    assert "data-lbc-token" not in page.evaluate("fetch('/page').then(answer => answer.text())")
    page.evaluate("navigator.serviceWorker.getRegistration().then(found => found.unregister())")


def test_a_link_with_the_download_attribute_is_left_alone(front: tuple[Companion, PageApplication], page: Any) -> None:
    one, application = front
    page.goto(f"http://127.0.0.1:{one.port}/")
    with page.expect_download() as download:
        click(page.locator("#link"))
    assert Path(download.value.path()).read_bytes() == application.resources["/page"][1]


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
def test_a_page_that_was_fetched_before_its_view(
    front: tuple[Companion, PageApplication], page: Any, kind: str
) -> None:
    one, application = front
    before = len(application.requests_for("/next"))
    notices = noticed(one)
    page.goto(f"http://127.0.0.1:{one.port}/{kind}")
    wait_for("the page", lambda: len(application.requests_for("/next")) > before)
    wait_for("its notice", lambda: noticed(one) > notices)
    time.sleep(0.5)
    assert noticed(one) == notices + 1, "only the page in view"
    fields = application.requests_for("/next")[-1]
    assert fields["sec-purpose"].startswith("prefetch")
    page.evaluate("location.href = '/next'")
    page.wait_for_function("document.title === 'next'")
    assert len(application.requests_for("/next")) == before + 1, "the page fetched before is the one that is shown"
    assert len(tokens(page)) == 1
    wait_for("the notice of its view", lambda: noticed(one) == notices + 2)

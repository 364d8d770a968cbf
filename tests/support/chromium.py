"""Fixtures for tests that need a real browser: the browser, a site, and a page in the browser.

A folder whose tests need them imports them in its ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.recorder.script import recorder_source
from tests.support import failure_report
from tests.support.browser import ARGUMENTS, Site
from tests.support.page_actions import PATIENCE_MS, PageLog
from tests.support.programs import need_program


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = need_program("chromium")
    from playwright.sync_api import sync_playwright

    folder: Path = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(folder),
            executable_path=chromium,
            headless=True,
            args=ARGUMENTS,
            # Pages left are kept for going back to, as they are for visitors.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.scripts["/_lbc/fetch-from.js"] = recorder_source(["SRV", "/purs_.*/", "/[broken/"])
    yield site
    site.close()


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    context.clear_cookies()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    failure_report.add(PageLog(page))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []

"""A recorded page looks in the dashboard as it looked to its visitor: the demo's shop and Django's admin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from lbcompanion.demo.processes import companion_command
from tests.e2e.test_django_farm import admins
from tests.support import balancers
from tests.support.browser import ARGUMENTS
from tests.support.django_site import PASSWORD, PEOPLE
from tests.support.farm import StickySettings
from tests.support.pictures import difference, picture
from tests.support.programs import need_program
from tests.support.visitor import without_tag

__all__ = ["admins"]

pytestmark = [pytest.mark.programs, pytest.mark.browser]

#: Letters that a browser draws a shade lighter, and a caret, are no difference to the eye.
_SAME = 0.002
_WINDOW = {"width": 1000, "height": 700}
_SECONDS = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, headless=True)
        yield launched
        launched.close()


class Visit:
    """A visitor who remembers how each page looked."""

    def __init__(self, browser: Any, site: str) -> None:
        self.site = site
        self.page = browser.new_context(viewport=_WINDOW).new_page()
        self.seen: dict[str, tuple[str, bytes]] = {}

    def sees(self, name: str, path: str) -> None:
        answer = self.page.goto(self.site + path, wait_until="networkidle")
        _, token = without_tag(answer.body())
        self.seen[name] = token, picture(self.page)


def archived(api: str, token: str) -> dict[str, Any]:
    """Wait until a page is archived; return its recording."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with urlopen(f"{api}/api/recordings/{token}", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
            if found["outcome"]:
                assert found["outcome"] == "archived", found
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, token
        time.sleep(0.2)


def check_replays(browser: Any, visit: Visit, api: str, folder: Path) -> None:
    """Compare each page with its replay, during which the site is not asked for anything."""
    context = browser.new_context(viewport=_WINDOW)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    found = {}
    for name, (token, live) in visit.seen.items():
        recording = archived(api, token)
        page = context.new_page()
        page.goto(f"{api}/replay/{token}/", wait_until="networkidle")
        replayed = picture(page)
        page.close()
        (folder / f"{name}-live.png").write_bytes(live)
        (folder / f"{name}-replay.png").write_bytes(replayed)
        found[name] = difference(visit.page, live, replayed), recording["requisites"]["missing"]
    assert all(share <= _SAME for share, _ in found.values()), found
    assert [url for url in asked if not url.startswith(("data:", f"{api}/"))] == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The demo; the addresses of its shop and of its dashboard."""
    command = companion_command("demo", "--nodes", "2", "--balancer", "builtin")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = running.stdout.readline()
            assert line, said
            said += line
        site, dashboard = (re.search(rf"{name} +(http://[0-9.:]+)", said) for name in ("The site", "The dashboard"))
        assert site is not None
        assert dashboard is not None
        yield site[1], dashboard[1]
    finally:
        running.terminate()
        running.communicate(timeout=_SECONDS)


def test_the_demos_shop_looks_as_it_did(demo: tuple[str, str], browser: Any, tmp_path: Path) -> None:
    site, dashboard = demo
    visit = Visit(browser, site)
    visit.sees("home", "/")
    visit.sees("article", "/article/5")
    visit.sees("login", "/login")
    check_replays(browser, visit, dashboard, tmp_path)


def test_djangos_admin_looks_as_it_did(new_farm: Any, admins: Any, browser: Any, tmp_path: Path) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), StickySettings(("SRV",)), admins)
    visit = Visit(browser, f"http://127.0.0.1:{farm.site}")
    visit.sees("login", "/admin/")
    visit.page.fill("input[name=username]", PEOPLE[0])
    visit.page.fill("input[name=password]", PASSWORD)
    visit.page.click("input[type=submit]")
    visit.sees("index", "/admin/")
    visit.sees("users", "/admin/auth/user/")
    visit.sees("add", "/admin/auth/user/add/")
    check_replays(browser, visit, f"http://127.0.0.1:{farm.api}", tmp_path)

"""A recorded page looks in the dashboard as it looked to its visitor: the demo's shop."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support.browser import ARGUMENTS
from tests.support.programs import need_program
from tests.support.replay_pictures import Visit, check_replays

pytestmark = [pytest.mark.programs, pytest.mark.browser]

_SECONDS = 60


@pytest.fixture
def browser() -> Iterator[Any]:
    program = need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, headless=True)
        yield launched
        launched.close()


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
    visit.sees("login", "/login")
    visit.page.fill("input[name=name]", "ada")
    visit.page.fill("input[name=password]", "x")
    visit.leaves_by("form[action='/login'] button, form button")
    visit.sees("home", "/")
    visit.sees("article", "/article/5")
    visit.sees("orders", "/orders")
    check_replays(browser, visit, dashboard, tmp_path)

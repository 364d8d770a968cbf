"""Makes the pictures of the README from the running demo: ``make pictures``.

The demo's visitors walk through the shop while it is deployed node by node. One picture is the walk of a visitor whose
node was stopped in the middle, the other an address before and after the deploy.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import sync_playwright

from lbcompanion.demo.processes import companion_command

HERE = Path(__file__).parent
_ADDRESS = re.compile(r"^The dashboard +(http://\S+?)/?$", re.MULTILINE)
_WAIT_SECONDS = 180.0
_NEW_VERSION = "Winter sale"
_CHROMIUM = ("chromium", "google-chrome")


def main() -> int:
    """Run the demo, wait for what the pictures show, and make them."""
    log = HERE / "_build" / "demo.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        demo = subprocess.Popen(companion_command("demo"), stdout=output, stderr=subprocess.STDOUT)
    try:
        dashboard = _waited(lambda: (found := _ADDRESS.search(log.read_text("utf-8", "replace"))) and found[1])
        visitor = _waited(lambda: _visitor(dashboard))
        pair = _waited(lambda: _pair(dashboard))
        _take(dashboard, visitor, pair)
    finally:
        demo.terminate()
        demo.wait(60)
    return 0


def _waited(condition: Any) -> Any:
    end = time.monotonic() + _WAIT_SECONDS
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit("the demo did not show in time what the pictures need")
        time.sleep(1)
    return found


def _asked(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _walk(dashboard: str, visitor: str) -> list[Any]:
    return list(_asked(f"{dashboard}/api/sessions/{visitor}")["recordings"])


def _visitor(dashboard: str) -> str:
    """Return a visitor who saw pages of two nodes."""
    for each in _asked(f"{dashboard}/api/sessions")["sessions"]:
        walk = _walk(dashboard, each["visitor"])
        if len({one["origin_node"] for one in walk}) > 1 and walk[-1]["outcome"] == "archived":
            return str(each["visitor"])
    return ""


def _pair(dashboard: str) -> tuple[str, str] | None:
    """Return two recordings of the home page, before and after a deploy."""
    found = _asked(f"{dashboard}/api/recordings?limit=1000&title=Home&outcome=archived")["recordings"]
    for newer in found:
        page = urlopen(f"{dashboard}/api/recordings/{newer['token']}/page", timeout=10).read().decode()
        if _NEW_VERSION in page:
            return str(found[-1]["token"]), str(newer["token"])
    return None


def _take(dashboard: str, visitor: str, pair: tuple[str, str]) -> None:
    walk = _walk(dashboard, visitor)
    changed = next(n for n in range(1, len(walk)) if walk[n]["origin_node"] != walk[n - 1]["origin_node"])
    with sync_playwright() as playwright:
        # None: the Chromium that Playwright has downloaded.
        program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 820}, color_scheme="light")
        page.goto(f"{dashboard}/visitors/{visitor}")
        page.locator("ol.walk > li").nth(max(changed - 2, 0)).evaluate("each => each.scrollIntoView()")
        page.wait_for_timeout(4000)
        page.screenshot(path=HERE / "walk.png")
        page.goto(f"{dashboard}/compare?a={pair[0]}&b={pair[1]}")
        page.wait_for_timeout(3000)
        page.screenshot(path=HERE / "versions.png")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())

"""How pages looked to a visitor, and how their recordings look in the dashboard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.support.page_actions import PATIENCE_MS, PageLog, click, navigating
from tests.support.pictures import difference, picture
from tests.support.visitor import without_tag

#: Letters that a browser draws a shade lighter, and a caret, are no difference to the eye.
_SAME = 0.002
_WINDOW = {"width": 1000, "height": 700}
_SECONDS = 60
_SETTLE = """hidden => {
  document.activeElement.blur();
  for (const each of hidden ? document.querySelectorAll(hidden) : []) each.style.display = 'none';
  Object.assign(document.body.style, {position: 'fixed', top: 0, left: 0, right: 0});
}"""


class Visit:
    """A visitor who remembers how each page looked.

    :ivar hidden: a selector of what is in no picture with scripts, such as images that only a script names: the crawler
        runs no scripts, so the archive does not have them.
    """

    hidden = ""

    def __init__(self, browser: Any, site: str) -> None:
        self.site = site
        self._browser = browser
        self.page = browser.new_context(viewport=_WINDOW).new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self._log = PageLog(self.page)
        self.seen: dict[str, tuple[str, bytes]] = {}

    def sees(self, name: str, path: str, *, with_scripts: bool = True, is_settled: bool = False) -> None:
        """Look at a page.

        :param with_scripts: whether the picture shows what the page's scripts do; if not, the page is loaded again.
        :param is_settled: whether the picture will be compared with a replay with scripts: without focus, from the top.
        """
        answer = self.page.goto(self.site + path, wait_until="networkidle")
        _, token = without_tag(answer.body())
        if is_settled:
            self._settle(self.page)
        self.seen[name] = token, picture(self.page) if with_scripts else self._without_scripts(path)

    def replayed(self, page: Any) -> bytes:
        """How a replay with scripts looks, in a frame of the size of the visitor's window."""
        above = page.evaluate("document.querySelector('iframe').getBoundingClientRect().top")
        page.set_viewport_size({"width": _WINDOW["width"], "height": _WINDOW["height"] + int(above)})
        self._settle(page.frames[1])
        return bytes(page.locator("iframe").screenshot(animations="disabled", caret="hide"))

    def _settle(self, shown: Any) -> None:
        """Make the picture independent of focus and scrolling, and hide what is in no picture.

        :param shown: a page or a frame.
        """
        shown.evaluate(_SETTLE, self.hidden)

    def sends(self, name: str, selector: str) -> None:
        """Click on what sends a form, and look at the page that answers it."""
        with self.page.expect_navigation(wait_until="networkidle") as navigation:
            click(self.page.locator(selector).first)
        _, token = without_tag(navigation.value.body())
        self._settle(self.page)
        self.seen[name] = token, picture(self.page)

    def leaves_by(self, selector: str) -> None:
        """Click on what leads to another page, which nobody looks at."""
        with navigating(self.page, self._log):
            click(self.page.locator(selector).first)

    def _without_scripts(self, path: str) -> bytes:
        context = self._browser.new_context(viewport=_WINDOW, java_script_enabled=False)
        context.add_cookies(self.page.context.cookies())
        page = context.new_page()
        page.goto(self.site + path, wait_until="networkidle")
        page.evaluate("document.activeElement.blur()")  # a replay takes no focus
        taken = picture(page)
        context.close()
        return taken


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


def check_replays(browser: Any, visit: Visit, api: str, folder: Path, *, with_scripts: bool = False) -> None:
    """Compare each page with its replay, during which the site is not asked for anything.

    :param with_scripts: whether to look at the replays at the listener where scripts run.
    """
    context = browser.new_context(viewport=_WINDOW)
    context.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    found, own = {}, {api}
    for name, (token, live) in visit.seen.items():
        recording = archived(api, token)
        page = context.new_page()
        if with_scripts:
            page.goto(f"{api}/recording/{token}/scripts", wait_until="networkidle")
            own.add("/".join(page.url.split("/")[:3]))
            replayed = visit.replayed(page)
        else:
            page.goto(f"{api}/replay/{token}/", wait_until="networkidle")
            replayed = picture(page)
        page.close()
        (folder / f"{name}-live.png").write_bytes(live)
        (folder / f"{name}-replay.png").write_bytes(replayed)
        found[name] = difference(visit.page, live, replayed), recording["requisites"]["missing"]
    assert all(share <= _SAME for share, _ in found.values()), found
    # A script whose file is missing has the address about:invalid.
    strangers = [url for url in asked if not url.startswith(("data:", "about:", *(f"{each}/" for each in own)))]
    assert strangers == [], strangers

"""Visitors whose sticky cookie does not reach ``/_lbc/``: neither the script nor the notice takes them elsewhere."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.support.balancer_kinds.haproxy import haproxy
from tests.support.balancers import Balancer
from tests.support.children import wait_for
from tests.support.farm import NODES, ProcessFarm, StickySettings
from tests.support.programs import need_program

_TAG = re.compile(rb'<script async src="([^"]+)" data-lbc-token="([^"]+)"')
_PATHS = ("/shop", "/shop/", "/shop/item", "/shop/item.html", "/shop/a/b/c", "/shop/item?q=/x/y")
_AT_TOP = ("/", "/index.html", "/item")


def _set_path(path: str) -> str:
    # The balancer's own cookie is not there yet for http-response rules.
    return rf"http-after-response replace-header Set-Cookie (.*);\ path=/(.*) \1;\ path={path}\2"


#: The balancer, the pages to look at, and the path of its cookie.
_BALANCERS: dict[str, tuple[Balancer, tuple[str, ...], str]] = {
    "a path of its own": (haproxy("cookie SRV insert", _set_path("/shop")), _PATHS, "/shop"),
    "a folder": (haproxy("cookie SRV insert", _set_path("/shop/")), _PATHS[1:], "/shop/"),
    "hidden": (haproxy("cookie SRV insert nocache httponly", _set_path("/shop")), _PATHS, "/shop"),
    "stripped": (
        haproxy("http-request del-header Cookie if { path_beg /_lbc }", "cookie SRV insert"),
        (*_PATHS, *_AT_TOP),
        "/",
    ),
    "as usual": (haproxy("cookie SRV insert nocache httponly"), (*_PATHS, *_AT_TOP), "/"),
}


class Browser:
    """The model of a browser: cookies have a path (RFC 6265 section 5), scripts are cached."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cached: set[str] = set()
        self.jar: dict[tuple[str, str], str] = {}

    def sticky(self) -> dict[str, str]:
        """The values of the sticky cookie, by path."""
        return {scope: value for (name, scope), value in self.jar.items() if name == "SRV"}

    def ask(self, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request, on a connection of its own."""
        path = urlsplit(url).path
        cookies = [f"{name}={value}" for (name, scope), value in self.jar.items() if _covers(scope, path)]
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            target = url.partition(f":{self._port}")[2]
            line.request(method, target, body, {"Cookie": "; ".join(cookies)} if cookies else {})
            answer = line.getresponse()
            received = answer.read()
        finally:
            line.close()
        for given in answer.headers.get_all("Set-Cookie", []):
            pair, *attributes = given.split(";")
            name, _, value = pair.partition("=")
            scopes = [
                attribute.strip()[5:] for attribute in attributes if attribute.strip().lower().startswith("path=")
            ]
            self.jar[name, scopes[-1] if scopes else path[: path.rindex("/")] or "/"] = value
        return answer.status, received

    def view(self, path: str) -> tuple[str, dict[str, str]]:
        """Look at a page, with all that its tag does; its token, and the sticky cookie right behind the page."""
        url = f"http://127.0.0.1:{self._port}{path}"
        status, page = self.ask("GET", url)
        found = _TAG.search(page)
        assert status == 200
        assert found is not None
        sticky = self.sticky()
        script, token = urljoin(url, found[1].decode()), found[2].decode()
        if script not in self._cached:
            assert self.ask("GET", script)[0] == 200
            self._cached.add(script)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        said = json.dumps({"token": token, "url": url, "cookies": {}, "viewed_at": now}).encode()
        assert self.ask("POST", urljoin(script, "notice"), said)[0] == 204
        return token, sticky


def _covers(scope: str, path: str) -> bool:
    return path == scope or path.startswith(scope if scope.endswith("/") else f"{scope}/")


@pytest.mark.parametrize("kind", _BALANCERS)
def test_nobody_is_moved(new_farm: Any, kind: str) -> None:
    need_program("haproxy")
    balancer, paths, scope = _BALANCERS[kind]
    farm: ProcessFarm = new_farm(balancer, StickySettings(("SRV",)))
    tokens = []
    for _ in NODES:
        browser = Browser(farm.site)
        for path in paths:
            token, sticky = browser.view(path)
            tokens.append(token)
            assert browser.sticky() == sticky == {scope: farm.owner(token)}, path
    wait_for("all notices", lambda: set(_sent(farm)) == set(tokens), 60)
    # The notices bring the cookie, whether or not a script can read it.
    assert _sent(farm) == {token: {"SRV": farm.owner(token)} for token in tokens}
    if kind != "stripped":  # there no cookie leads the crawler to a node
        farm.finished(tokens)


def _sent(farm: ProcessFarm) -> dict[str, Any]:
    """The cookies in the notices that nodes sent to the crawler, by token."""
    bodies = [json.loads(body) for _, _, _, body in farm.taps["notices"].requests()]
    return {notice["token"]: notice["cookies"] for body in bodies for notice in body["notices"]}


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    program = need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments, headless=True)
        yield browser
        browser.close()


@pytest.mark.parametrize("kind", ["hidden", "stripped"])
def test_nobody_is_moved_in_chromium(new_farm: Any, chromium: Any, kind: str) -> None:
    need_program("haproxy")
    balancer, paths, scope = _BALANCERS[kind]
    farm: ProcessFarm = new_farm(balancer, StickySettings(("SRV",)))
    context = chromium.new_context()
    page = context.new_page()
    # The pages' style sheet is at the top: where the cookie is for /shop, the site moves its visitors itself.
    page.route("**/style.css", lambda route: route.abort())
    tokens: list[str] = []
    for path in paths:
        page.goto(f"http://127.0.0.1:{farm.site}{path}")
        tokens.append(page.get_attribute("script[data-lbc-token]", "data-lbc-token"))
        until = time.monotonic() + 60
        while not (noticed := [one for one in farm.taps["visitors"].requests() if tokens[-1].encode() in one[3]]):
            assert time.monotonic() < until
            page.wait_for_timeout(50)
        assert "SRV=" in noticed[0][2]
    assert {farm.owner(token) for token in tokens} == {farm.owner(tokens[0])}
    kept = [(one["path"], one["value"]) for one in context.cookies() if one["name"] == "SRV"]
    assert kept == [(scope, farm.owner(tokens[0]))]
    context.close()

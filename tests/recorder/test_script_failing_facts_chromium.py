"""One source of facts that fails stops no notice: sandboxed pages, and pages that replace what the script reads."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from lbcompanion.html.snippets import integrity_of
from lbcompanion.protocol.notices import read_browser_notice
from lbcompanion.recorder.script import recorder_source
from tests.support.browser import Site
from tests.support.tags import default_tag

pytestmark = pytest.mark.browser


def tag_of(site: Site, token: str = "TOKEN") -> str:
    """The tag as a node makes it: absolute, with the integrity of the script that is served."""
    integrity = integrity_of(site.scripts["/_lbc/fetch-from.js"])
    url = site.address + "/_lbc/fetch-from.js?v=1"
    return default_tag(token, "u", url, integrity=integrity).decode()


def test_a_sandboxed_frame(site: Site, page: Any) -> None:
    inner = site.add("/inner", head=tag_of(site, "INNER"))
    page.goto(site.add("/", head="", body='<iframe sandbox="allow-scripts" src="/inner"></iframe>'))
    (notice,) = site.wait()
    assert (notice["token"], notice["url"], notice["cookies"]) == ("INNER", inner, {})


@pytest.mark.parametrize("policy", ["sandbox allow-scripts", "sandbox allow-scripts; script-src *; connect-src *"])
@pytest.mark.parametrize("ratio", [1.0, 0.999999999])
def test_a_sandboxed_page(site: Site, page: Any, policy: str, ratio: float) -> None:
    site.scripts["/_lbc/fetch-from.js"] = recorder_source(["SRV"], ratio=ratio)
    page.goto(site.add("/", head=tag_of(site), **{"Content-Security-Policy": policy}))
    (notice,) = site.wait()
    assert (notice["token"], notice["cookies"]) == ("TOKEN", {})


def test_a_sandboxed_page_may_need_a_nonce(site: Site, page: Any) -> None:
    integrity = integrity_of(site.scripts["/_lbc/fetch-from.js"])
    tag = default_tag("TOKEN", "u", site.address + "/_lbc/fetch-from.js?v=1", "abc", integrity=integrity).decode()
    policy = "sandbox allow-scripts; script-src 'strict-dynamic' 'nonce-abc'"
    page.goto(site.add("/", head=tag, **{"Content-Security-Policy": policy}))
    assert len(site.wait()) == 1


THROWS = "{ get() { throw new Error('consent'); }, set() { throw new Error('consent'); } }"


@pytest.mark.parametrize(
    "replaced",
    [
        f"Object.defineProperty(document, 'cookie', {THROWS})",
        "Object.defineProperty(document, 'cookie', { get() { return null; } })",
        f"Object.defineProperty(document, 'referrer', {THROWS})",
        "window.Date = function () { throw new Error(); }",
        "Date.prototype.toISOString = () => { throw new Error(); }",
        "Date.prototype.toISOString = () => 'yesterday'",
        "window.Date = undefined",
        "JSON.stringify = () => { throw new Error(); }",
        "window.JSON = undefined",
        "String.prototype.toJSON = function () { return '\"' + this + '\"'; }",
        "Object.freeze(window.navigator.__proto__); navigator.sendBeacon = () => { throw new Error(); }",
        "navigator.sendBeacon = () => { throw new Error(); }; window.fetch = () => { throw new Error(); }",
        f"Object.defineProperty(window, 'FetchFromWithCookies', {THROWS})",
        "Object.defineProperty(window, 'FetchFromWithCookies', { value: 1 })",
        "Math.random = () => { throw new Error(); }",
    ],
)
def test_what_a_page_replaces(replaced: str, context: Any, site: Site, page: Any) -> None:
    context.add_cookies([{"name": "SRV", "value": "n1", "url": site.origin}])
    url = site.add("/p", head=f"<script>{replaced}</script>" + tag_of(site))
    before = time.time()
    page.goto(url)
    (notice,) = site.wait()
    assert (notice["token"], notice["url"]) == ("TOKEN", url)
    assert notice["cookies"] == ({} if "'cookie'" in replaced else {"SRV": "n1"})
    assert before - 2 <= datetime.fromisoformat(notice["viewed_at"]).timestamp() <= time.time() + 2


@pytest.mark.parametrize("name", ["cookie", "currentScript", "prerendering", "readyState", "addEventListener"])
def test_an_element_with_the_name_of_a_property(name: str, site: Site, page: Any) -> None:
    page.goto(site.add("/", head="", body=f"<form name={name}></form>" + tag_of(site)))
    assert [notice["token"] for notice in site.wait()] == ["TOKEN"]


@pytest.mark.parametrize("milliseconds", [0, 951782400000, 951868799999, 1709251199999, 1767225599999, 4102444800000])
def test_the_time_without_a_date(milliseconds: int, site: Site, page: Any) -> None:
    replaced = (
        f"window.Date = undefined; Object.defineProperty(performance, 'timeOrigin', {{ value: {milliseconds} }});"
        "performance.now = () => 0.5"
    )
    page.goto(site.add("/", head=f"<script>{replaced}</script>" + tag_of(site)))
    (notice,) = site.wait()
    told = datetime.fromisoformat(notice["viewed_at"]).timestamp()
    assert told == pytest.approx(milliseconds / 1000, abs=0.002)


def test_no_cookie_makes_the_node_refuse_the_notice(site: Site, page: Any) -> None:
    recorded = """
        FetchFromWithCookies.set("good", "1"); FetchFromWithCookies.set("control", "a\\u0001b");
        FetchFromWithCookies.set("", "x"); FetchFromWithCookies.set("long", "x".repeat(5000));
        FetchFromWithCookies.set("\\ud800", "a"); FetchFromWithCookies.set("\\udbff", "b");
        for (let i = 0; i < 20; i += 1) { FetchFromWithCookies.set("wide" + i, "\\u65e5".repeat(900)); }
        FetchFromWithCookies.set("quote", 'a"\\\\b');
    """
    tag = tag_of(site).replace(" async", "")
    page.goto(site.add("/", head=tag, body=f"<script>{recorded}</script>") + "#" + "\u65e5" * 3000)
    (notice,) = site.wait()
    read = read_browser_notice(site.bodies[0])
    assert read.cookies["good"] == "1"
    assert read.cookies["quote"] == 'a"\\b'
    assert {"control", "", "long"}.isdisjoint(notice["cookies"])
    assert read.url == site.origin + "/"

"""The recorder script where it runs: in a real Chromium, on pages of a real server."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbcompanion.html.snippets import relative_folder, script_folder
from lbcompanion.recorder.fetch_url import decode_fetch_url, encode_fetch_url
from lbcompanion.recorder.script import recorder_source
from tests.support.browser import TAG, Site
from tests.support.children import wait_for
from tests.support.tags import default_tag

pytestmark = pytest.mark.browser


def cookies_of(context: Any, site: Site, *pairs: tuple[str, str]) -> None:
    context.add_cookies([{"name": name, "value": value, "url": site.origin} for name, value in pairs])


def test_the_notice(context: Any, site: Site, page: Any) -> None:
    cookies_of(context, site, ("SRV", "n1~x"), ("SRVX", "no"), ("purs_1", "a=b"), ("sid", "secret"))
    url = site.add("/shop") + "?a=1#part"
    before = time.time()
    page.goto(url)
    (notice,) = site.wait()
    assert list(notice) == ["token", "url", "cookies", "viewed_at"]
    assert (notice["token"], notice["url"]) == ("TOKEN", url)
    assert notice["cookies"] == {"SRV": "n1~x", "purs_1": "a=b"}
    assert notice["viewed_at"].endswith("Z")
    assert before - 1 <= datetime.fromisoformat(notice["viewed_at"]).timestamp() <= time.time() + 1
    assert site.types[0].lower().startswith("text/plain")


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("path", "folder"), [("/shop", "/shop/-"), ("/shop/", "/shop/-"), ("/shop/item", "/shop/-")])
def test_the_notice_goes_below_the_pages_folder_with_the_pages_cookies(
    context: Any, site: Site, page: Any, path: str, folder: str, relative: bool
) -> None:
    context.add_cookies(
        [{"name": "SRV", "value": "n1", "domain": "127.0.0.1", "path": "/shop", "httpOnly": True, "sameSite": "Lax"}]
    )
    site.scripts[f"{folder}/_lbc/fetch-from"] = site.scripts["/_lbc/fetch-from.js"]
    start = relative_folder(path.encode()) if relative else site.address + script_folder(path.encode())
    head = default_tag("TOKEN", "u", f"{start}-/_lbc/fetch-from?v=1").decode()
    base = '<base href="/elsewhere/">'
    page.goto(site.add(path, head=head + base if relative else base + head))
    site.wait()
    assert site.posted == [(f"{folder}/_lbc/notice", "SRV=n1")]


def test_what_the_page_records_is_in_it(context: Any, site: Site, page: Any) -> None:
    cookies_of(context, site, ("JSESSIONID", "abc.n1"))
    body = (
        '<script src="/_lbc/fetch-from.js?v=1"></script>'
        "<script>FetchFromWithCookies.setFromCookie('JSESSIONID');FetchFromWithCookies.set('__proto__', 7)</script>"
    )
    page.goto(site.add("/", body=body))
    (notice,) = site.wait()
    assert notice["cookies"] == {"JSESSIONID": "abc.n1", "__proto__": "7"}


def test_included_twice_it_runs_once(site: Site, page: Any) -> None:
    page.goto(site.add("/", head=TAG * 2, body=TAG))
    page.wait_for_load_state("load")
    page.evaluate("new Promise(done => setTimeout(done, 200))")
    assert len(site.wait()) == 1


def test_a_page_that_came_into_this_one_has_a_notice_of_its_own(site: Site, page: Any) -> None:
    page.goto(site.add("/"))
    site.wait()
    page.evaluate(
        """() => { const tag = document.createElement("script"); tag.src = "/_lbc/fetch-from.js?v=1";
        tag.dataset.lbcToken = "SECOND"; document.head.append(tag); }"""
    )
    assert [notice["token"] for notice in site.wait(2)] == ["TOKEN", "SECOND"]


def test_a_base_leads_it_nowhere_else(site: Site, page: Any) -> None:
    page.goto(site.add("/", head=TAG + '<base href="http://127.0.0.1:1/x/">'))
    assert len(site.wait()) == 1


def test_without_a_beacon(site: Site, page: Any) -> None:
    page.add_init_script("navigator.sendBeacon = () => false")
    page.goto(site.add("/"))
    assert len(site.wait()) == 1
    other = page.context.new_page()
    other.add_init_script("navigator.sendBeacon = () => { throw Error() }; delete window.fetch; window.fetch = null")
    other.goto(site.origin + "/")
    assert len(site.wait(2)) == 2
    other.close()


def test_a_very_long_address_is_cut(site: Site, page: Any) -> None:
    page.goto(site.add("/p") + "#" + "x" * 20000)
    assert site.wait()[0]["url"] == site.origin + "/p"


def _evaluated(page: Any, expression: str) -> Any:
    """The value of an expression; None while the page changes."""
    with suppress(Exception):
        return page.evaluate(expression)
    return None


def test_a_page_restored_from_the_history_is_viewed_again(site: Site, page: Any) -> None:
    page.goto(site.add("/"))
    first = site.wait()[0]
    page.evaluate("window.kept = true")
    page.goto(site.add("/other", head=""))
    page.evaluate("setTimeout(() => history.back(), 0)")
    second = site.wait(2)[1]
    assert (second["token"], second["url"]) == (first["token"], first["url"])
    assert second["viewed_at"] > first["viewed_at"]
    # The notice may come before the driver knows that the other document is gone.
    wait_for("the restored page", lambda: _evaluated(page, "window.kept"))


def test_an_ordinary_pageshow_is_no_view(site: Site, page: Any) -> None:
    page.goto(site.add("/"))
    site.wait()
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: false}))")
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    page.evaluate("new Promise(done => setTimeout(done, 200))")
    assert len(site.wait(2)) == 2


@pytest.mark.parametrize(
    "policy",
    [
        "default-src 'none'; script-src 'nonce-abc'; connect-src 'self'",
        "script-src 'strict-dynamic' 'nonce-abc'; require-trusted-types-for 'script'; trusted-types 'none'",
    ],
)
def test_under_a_policy(site: Site, page: Any, policy: str) -> None:
    tag = default_tag("TOKEN", "u", "/_lbc/fetch-from.js?v=1", "abc", False).decode()
    page.goto(site.add("/", head=tag, **{"Content-Security-Policy": policy}))
    assert len(site.wait()) == 1


def test_in_xhtml(site: Site, page: Any) -> None:
    tag = default_tag("TOKEN", "u", "/_lbc/fetch-from.js?v=1", None, True)
    body = b'<html xmlns="http://www.w3.org/1999/xhtml"><head>' + tag + b"<title>x</title></head><body/></html>"
    site.pages["/"] = (body, {"Content-Type": "application/xhtml+xml"})
    page.goto(site.origin + "/")
    assert len(site.wait()) == 1


class TestSampling:
    def settle(self, page: Any) -> None:
        page.wait_for_load_state("load")
        page.evaluate("new Promise(done => setTimeout(done, 200))")

    def visitor(self, context: Any, site: Site) -> list[str]:
        return [cookie["value"] for cookie in context.cookies(site.origin) if cookie["name"] == "WRUID"]

    @pytest.mark.parametrize(("drawn", "value", "count"), [("0.6", "0", 0), ("0.4", "1", 1)])
    def test_lots_are_drawn_once(self, context: Any, site: Site, page: Any, drawn: str, value: str, count: int) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], ratio=0.5)
        page.add_init_script(f"Math.random = () => {drawn}")
        page.goto(site.add("/"))
        self.settle(page)
        assert self.visitor(context, site) == [value]
        assert len(site.notices) == count
        again = context.new_page()
        again.add_init_script("Math.random = () => 1 - " + drawn)
        again.goto(site.origin + "/")
        self.settle(again)
        assert self.visitor(context, site) == [value]
        assert len(site.notices) == 2 * count
        again.close()

    def test_none_are_drawn_where_all_are_recorded(self, context: Any, site: Site, page: Any) -> None:
        page.goto(site.add("/"))
        site.wait()
        assert self.visitor(context, site) == []

    def test_recording_can_be_forced_but_not_against_the_visitor(self, context: Any, site: Site, page: Any) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], ratio=1e-9, force_parameter="lbc=record")
        page.goto(site.add("/") + "?a=1&lbc=record")
        assert len(site.wait()) == 1
        assert self.visitor(context, site) == []
        cookies_of(context, site, ("WRUID", "0"))
        page.goto(site.origin + "/?a=1&lbc=record")
        self.settle(page)
        assert len(site.notices) == 1

    @pytest.mark.parametrize("sent", [None, "1"])
    def test_a_visitor_is_identified_for_the_session(
        self, context: Any, site: Site, page: Any, sent: str | None
    ) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], identify=True)
        site.add("/")
        if sent:
            cookies_of(context, site, ("WRUID", sent))
        page.goto(site.origin + "/")
        assert len(site.wait()) == 1
        (cookie,) = [each for each in context.cookies(site.origin) if each["name"] == "WRUID"]
        assert re.fullmatch("[0-9a-f]{32}", cookie["value"])
        assert cookie["expires"] == -1
        page.goto(site.origin + "/")
        self.settle(page)
        assert self.visitor(context, site) == [cookie["value"]]

    @pytest.mark.parametrize(("sent", "count"), [("0", 0), ("alice", 1)])
    def test_a_value_that_is_there_is_kept(self, context: Any, site: Site, page: Any, sent: str, count: int) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], ratio=0.5, identify=True)
        site.add("/")
        cookies_of(context, site, ("WRUID", sent))
        page.goto(site.origin + "/")
        self.settle(page)
        assert self.visitor(context, site) == [sent]
        assert len(site.notices) == count

    def test_only_recorded_visitors_are_identified(self, context: Any, site: Site, page: Any) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], ratio=0.5, identify=True)
        page.add_init_script("Math.random = () => 0.6")
        page.goto(site.add("/"))
        self.settle(page)
        assert self.visitor(context, site) == ["0"]


class TestObject:
    """``window.FetchFromWithCookies``."""

    @pytest.fixture
    def ready(self, site: Site, page: Any) -> Any:
        page.goto(site.add("/"))
        page.wait_for_function("window.FetchFromWithCookies")
        page.evaluate("FetchFromWithCookies.clear()")
        return page

    def test_the_last_write_wins_and_the_order_stays(self, ready: Any) -> None:
        url = ready.evaluate(
            """() => { const o = FetchFromWithCookies; o.set("b", 1); o.set("2", "x"); o.set("1", "y"); o.set("b", 3);
            return o.constructFetchFromUrl("http://x/"); }"""
        )
        assert url == "http://x/#CTFetchCookies=b%3D3%3B2%3Dx%3B1%3Dy%3B"

    def test_parameter_and_hash(self, ready: Any) -> None:
        told = ready.evaluate(
            """() => { const o = FetchFromWithCookies; o.set("a", "1");
            const told = [o.constructCookiesParam(), o.constructCookiesHash(), o.constructFetchFromUrl()];
            o.clear(); return [...told, o.constructCookiesHash()]; }"""
        )
        parameter = "CTFetchCookies=a%3D1%3B"
        assert told == [parameter, "#" + parameter, ready.url + "#" + parameter, "#CTFetchCookies="]

    def test_from_the_pages_cookies(self, ready: Any) -> None:
        told = ready.evaluate(
            """() => { const o = FetchFromWithCookies;
            document.cookie = "purs_a=1"; document.cookie = "purs_b=%41"; document.cookie = "n%20m=2";
            document.cookie = "other=3"; document.cookie = "purs_c";
            o.setFromCookie(/^purs_.*/g); o.setFromCookie("n m"); o.set("other", null); o.set("missing");
            return o.constructFetchFromUrl("u"); }"""
        )
        assert decode_fetch_url(told)[1] == (("purs_a", "1"), ("purs_b", "%41"), ("n m", "2"), ("other", "3"))

    def test_nothing_is_ever_thrown(self, ready: Any) -> None:
        ready.evaluate(
            """() => { const o = FetchFromWithCookies, bad = {toString() { throw Error("x"); }};
            document.cookie = "a=1";
            o.set(bad, bad); o.set(); o.setFromCookie({test() { throw Error("x"); }}); o.setFromCookie(bad);
            o.setFromCookie(null); o.constructFetchFromUrl(bad); o.set("a", "\\ud800");
            o.set("b", "\\udc00\\ud83d\\ude00");
            }"""
        )
        url = ready.evaluate("FetchFromWithCookies.constructFetchFromUrl('u')")
        assert dict(decode_fetch_url(url)[1])["b"] == "\ufffd\U0001f600"

    def test_the_older_names(self, site: Site, page: Any) -> None:
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], "/_lbc", clicktale_names=True)
        page.goto(site.add("/"))
        page.wait_for_function("window.FetchFromWithCookies")
        told = page.evaluate(
            """() => { const o = ClickTaleFetchFromWithCookies; o.set("a", 1); const first = ClickTaleFetchFrom;
            o.set("a", 2); const second = ClickTaleFetchFrom; ClickTaleFetchFrom = "own";
            return [o === FetchFromWithCookies, first, second, ClickTaleFetchFrom]; }"""
        )
        base = "http://x.test/_lbc/page/TOKEN#CTFetchCookies=a%3D"
        assert told == [True, base + "1%3B", base + "2%3B", "own"]

    def test_without_the_switch_there_are_none(self, ready: Any) -> None:
        assert ready.evaluate("typeof ClickTaleFetchFromWithCookies + typeof ClickTaleFetchFrom") == "undefined" * 2


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("%;=&#+ \u2028\"'2B3Da", max_size=8)
SETS = st.tuples(
    TEXTS.map("http://x/".__add__), st.lists(st.tuples(TEXTS, TEXTS), max_size=4, unique_by=lambda pair: pair[0])
)


def batch(count: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """The same URLs and cookies at every run."""
    drawn: list[tuple[str, list[tuple[str, str]]]] = []

    @settings(max_examples=count, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(SETS)
    def draw(one: tuple[str, list[tuple[str, str]]]) -> None:
        drawn.append(one)

    draw()
    return drawn


def test_both_sides_write_and_read_the_same(site: Site, page: Any) -> None:
    page.goto(site.add("/"))
    page.wait_for_function("window.FetchFromWithCookies")
    sets = batch(200)
    assert len(sets) > 50
    written = page.evaluate(
        """sets => sets.map(([url, pairs]) => { const o = FetchFromWithCookies; o.clear();
        pairs.forEach(([name, value]) => o.set(name, value)); return o.constructFetchFromUrl(url); })""",
        sets,
    )
    for (url, pairs), text in zip(sets, written, strict=True):
        assert text == encode_fetch_url(url, pairs)
        assert decode_fetch_url(text) == (url, tuple(pairs))
    read = page.evaluate(
        """texts => texts.map(text => { const at = text.lastIndexOf("CTFetchCookies=");
        const pairs = decodeURIComponent(text.slice(at + 15)).split(";").slice(0, -1);
        return pairs.map(pair => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)].map(
            part => part.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))))); })""",
        [encode_fetch_url(url, pairs) for url, pairs in sets],
    )
    assert read == [[list(pair) for pair in pairs] for _, pairs in sets]

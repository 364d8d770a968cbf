"""The recorder script where it runs: in a real Chromium, on pages of a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbcompanion.html.fetchurl import decode_fetch_url, encode_fetch_url
from lbcompanion.html.recorder import recorder_source
from lbcompanion.html.snippets import beside, default_tag
from tests.conftest import need_program

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TAG = default_tag("TOKEN", "http://x.test/_lbc/page/TOKEN", "/_lbc/fetch-from.js?v=1", None, False).decode()


class Site:
    """A site of a few pages, and the notices that came.

    :ivar folder: what is no page is looked for in here.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.scripts: dict[str, bytes] = {}
        self.notices: list[dict[str, Any]] = []
        self.types: list[str] = []
        self.posted: list[tuple[str, str]] = []
        self.folder: Path | None = None
        self._arrived = threading.Condition()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path in site.scripts:
                    self._answer(200, site.scripts[path], {"Content-Type": "text/javascript"})
                elif path in site.pages:
                    self._answer(200, *site.pages[path])
                elif site.folder and (file := site.folder / path[1:]).is_file():
                    self._answer(200, file.read_bytes(), {"Content-Type": guess_type(path)[0] or "text/plain"})
                else:
                    self._answer(404, b"", {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(204, b"", {})
                if self.path.endswith("/_lbc/notice"):
                    site.posted.append((self.path, self.headers["Cookie"] or ""))
                    site.arrived(body, self.headers["Content-Type"] or "")

            def _answer(self, status: int, body: bytes, fields: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def arrived(self, body: bytes, content_type: str) -> None:
        with self._arrived:
            self.notices.append(json.loads(body))
            self.types.append(content_type)
            self._arrived.notify_all()

    def wait(self, count: int = 1) -> list[dict[str, Any]]:
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.notices) >= count, 10)
            return list(self.notices)

    def add(self, path: str, head: str = TAG, body: str = "x", **fields: str) -> str:
        page = f"<!DOCTYPE html><html><head>{head}<title>x</title></head><body>{body}</body></html>".encode()
        self.pages[path] = (page, {"Content-Type": "text/html; charset=utf-8", **fields})
        return self.origin + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


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
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


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


@pytest.mark.parametrize(("path", "folder"), [("/shop", "/shop/-"), ("/shop/", "/shop/-"), ("/shop/item", "/shop/-")])
def test_the_notice_goes_below_the_pages_folder_with_the_pages_cookies(
    context: Any, site: Site, page: Any, path: str, folder: str
) -> None:
    context.add_cookies(
        [{"name": "SRV", "value": "n1", "domain": "127.0.0.1", "path": "/shop", "httpOnly": True, "sameSite": "Lax"}]
    )
    site.scripts[f"{folder}/_lbc/fetch-from"] = site.scripts["/_lbc/fetch-from.js"]
    script = f"{beside(path, '/_lbc')}/fetch-from?v=1"
    head = default_tag("TOKEN", "u", script, None, False).decode() + '<base href="/elsewhere/">'
    page.goto(site.add(path, head=head))
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


def test_a_very_long_address_is_told_shorter(site: Site, page: Any) -> None:
    page.goto(site.add("/p") + "#" + "x" * 20000)
    assert site.wait()[0]["url"] == site.origin + "/p"


def test_a_page_restored_from_the_history_is_viewed_again(site: Site, page: Any) -> None:
    page.goto(site.add("/"))
    first = site.wait()[0]
    page.evaluate("window.kept = true")
    page.goto(site.add("/other", head=""))
    page.evaluate("setTimeout(() => history.back(), 0)")
    second = site.wait(2)[1]
    assert (second["token"], second["url"]) == (first["token"], first["url"])
    assert second["viewed_at"] > first["viewed_at"]
    assert page.evaluate("window.kept")


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

    def test_recording_can_be_forced(self, context: Any, site: Site, page: Any) -> None:
        cookies_of(context, site, ("WRUID", "0"))
        page.goto(site.add("/"))
        self.settle(page)
        assert site.notices == []
        page.goto(site.origin + "/?a=1&lbc=record")
        assert len(site.wait()) == 1


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
        site.scripts["/_lbc/fetch-from.js"] = recorder_source([], "/_lbc", True)
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

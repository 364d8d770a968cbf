"""A real browser that runs the scripts of recorded pages makes no connection but to the listener for scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.admin_server import AdminServer, RecordedPages, requisite
from tests.support.browser import ARGUMENTS
from tests.support.hearing import Listener, UdpListener
from tests.support.hostile_scripts import HOSTILE_SCRIPTS
from tests.support.programs import need_program

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_LIMIT = 90_000
#: The scripts that connect where nothing but the policy and the sandbox stops them, and some others.
_CONNECTING = (
    *("fetch", "beacon", "image", "link elements", "preconnect", "preconnect of a frame", "location", "navigation"),
    *("link click", "window open", "form", "refresh", "frames", "srcdoc", "frame without a sandbox", "document open"),
)
#: Chromium 156 ends the process of a page that does this.
_CRASHING = frozenset({"webrtc of a srcdoc"})
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPages]:
    found = RecordedPages(tmp_path_factory.mktemp("archive"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def dashboard(recorded: RecordedPages) -> Iterator[AdminServer]:
    server = AdminServer(recorded.get)
    yield server
    server.close()


@pytest.fixture(scope="module")
def scripts(recorded: RecordedPages) -> Iterator[AdminServer]:
    server = AdminServer(recorded.get_with_scripts)
    yield server
    server.close()


@pytest.fixture
def outside() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def stun() -> Iterator[UdpListener]:
    listener = UdpListener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    need_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


def launched(playwright: Any, folder: Path, *arguments: str) -> Any:
    context = playwright.chromium.launch_persistent_context(
        str(folder), executable_path=need_program("chromium"), headless=True, args=[*ARGUMENTS, *arguments]
    )
    context.set_default_timeout(_LIMIT)
    return context


@pytest.fixture(scope="module")
def browser(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    context = launched(playwright, tmp_path_factory.mktemp("chromium"))
    yield context
    context.close()


def run_hostile_scripts(
    browser: Any,
    recorded: RecordedPages,
    server: AdminServer,
    outside: Listener,
    stun: UdpListener,
    ways: Iterable[str],
) -> None:
    """Look at a page for each hostile script; each script uses a name of its own for the tracker."""
    from playwright.sync_api import Error

    for way in ways:
        host = f"{way.replace(' ', '-')}.tracker.test:{outside.port}"
        text = HOSTILE_SCRIPTS[way].format(t=f"http://{host}", h=host, s=f"127.0.0.1:{stun.port}")
        markup = f"<!DOCTYPE html><title>x</title><p id=seen>seen<script>{text}</script>"
        token = recorded.record(markup.encode(), f"/{way.replace(' ', '-')}")
        page = browser.new_page()
        try:
            # The frame has loaded too, so that its script ran.
            page.goto(f"{server.origin}/{recorded.key(token)}/{token}/", wait_until="load")
        except Error as failure:
            if way not in _CRASHING or "crashed" not in str(failure):
                raise
        # What the script began gets some time, at a page that goes on.
        browser.pages[0].wait_for_timeout(150)
        assert way in _CRASHING or page.url.startswith(f"{server.origin}/"), way
        page.close()
        for other in browser.pages[1:]:
            other.close()


def test_hostile_scripts_connect_to_nobody(
    playwright: Any,
    recorded: RecordedPages,
    dashboard: AdminServer,
    scripts: AdminServer,
    outside: Listener,
    stun: UdpListener,
    tmp_path: Path,
) -> None:
    """Neither the listeners nor the browser's own log of its network know of a connection or a name that was asked."""
    log = tmp_path / "network.json"
    rules = f"--host-resolver-rules=MAP *.test 127.0.0.1:{outside.port}"
    browser = launched(playwright, tmp_path / "profile", rules, f"--log-net-log={log}")
    run_hostile_scripts(browser, recorded, scripts, outside, stun, HOSTILE_SCRIPTS)
    before = len(outside.heard)
    with suppress(Exception):  # the answer has no page
        browser.pages[0].goto(f"http://shown.tracker.test:{outside.port}/heard")
    browser.close()
    assert before == 0, outside.heard
    assert [each for each in outside.heard if b"/heard" in each] != []  # the listener hears
    assert stun.heard == []
    assert dashboard.asked == []
    text = log.read_text(errors="replace")
    assert "shown.tracker.test" in text  # the log has names
    # What the listener for scripts was asked for names the tracker as well, as a part of its query. A name may end like
    # another one: css-import, import.
    named = [
        way for way in HOSTILE_SCRIPTS if re.search(rf"(?<!%2F)(?<!-){way.replace(' ', '-')}\.tracker\.test", text)
    ]
    assert named == []


def test_in_a_browser_without_connection_allowlist_no_request_leaves(
    playwright: Any,
    recorded: RecordedPages,
    scripts: AdminServer,
    outside: Listener,
    stun: UdpListener,
    tmp_path: Path,
) -> None:
    """Connections without a request are made, for ``preconnect`` and for frames; docs/replay.rst says so."""
    rules = f"--host-resolver-rules=MAP *.test 127.0.0.1:{outside.port}"
    browser = launched(playwright, tmp_path / "profile", rules)
    scripts.left_out.add("connection-allowlist")
    try:
        run_hostile_scripts(browser, recorded, scripts, outside, stun, _CONNECTING)
    finally:
        scripts.left_out.clear()
        browser.close()
    assert [each for each in outside.heard if b"HTTP/" in each or b"GET" in each or b"POST" in each] == []


def shown(browser: Any, recorded: RecordedPages, server: AdminServer, token: str) -> Any:
    """The frame with the recorded page, once it is loaded."""
    page = browser.new_page()
    page.goto(f"{server.origin}/{recorded.key(token)}/{token}/", wait_until="load")
    return page.frames[1]


def test_scripts_run_and_find_the_files_of_the_recording(
    browser: Any, recorded: RecordedPages, scripts: AdminServer
) -> None:
    code = b"""
      localStorage.setItem("theme", "dark"); document.cookie = "a=b; path=/"; document.cookie = "c=d";
      document.body.dataset.kept = localStorage.getItem("theme") + " " + document.cookie + " " + localStorage.length;
      const image = new Image(); image.id = "made"; image.src = "/s/i.png"; document.body.append(image);
      document.body.insertAdjacentHTML("beforeend", "<img id=markup src='i.png'><img id=gone src='/s/none.png'>");
      const link = document.createElement("link"); link.rel = "stylesheet"; link.setAttribute("href", "b.css");
      document.head.append(link);
      const more = document.createElement("script"); more.src = location.origin + "/s/more.js";
      document.head.append(more);
    """
    files = (
        requisite("/s/a.js", code, "text/javascript"),
        requisite("/s/more.js", b"document.body.dataset.more = 'ran'", "text/javascript"),
        requisite("/s/m.js", b"document.body.dataset.module = 'ran'", "text/javascript"),
        requisite("/s/b.css", b"p { color: rgb(1, 2, 3) }", "text/css"),
        requisite("/s/i.png", _PNG, "image/png"),
    )
    markup = (
        b"<!DOCTYPE html><base href=/s/><p id=p onclick=\"this.textContent='clicked'\">x</p><script src=a.js></script>"
        b"<script type=module src=m.js></script><noscript><p id=no>x</p></noscript>"
    )
    frame = shown(browser, recorded, scripts, recorded.record(markup, "/page", files))
    frame.wait_for_selector("body[data-more=ran][data-module=ran]", state="attached", timeout=_LIMIT)
    assert frame.locator("body").get_attribute("data-kept") == "dark a=b; c=d 1"
    for name, width in (("made", 1), ("markup", 1), ("gone", 16)):
        frame.wait_for_function(f"document.getElementById('{name}').naturalWidth === {width}", timeout=_LIMIT)
    frame.wait_for_function("getComputedStyle(document.getElementById('p')).color === 'rgb(1, 2, 3)'", timeout=_LIMIT)
    frame.click("#p")
    assert frame.locator("#p").inner_text() == "clicked"
    assert frame.locator("#no").count() == 0
    frame.page.close()


#: What works at a site, and throws or leads away from the recording in a document with an opaque origin.
_USUAL_CALLS = """
  localStorage.theme = "dark"; localStorage["a b"] = 1; sessionStorage.setItem("x", "y"); delete sessionStorage.x;
  report("storage", localStorage.getItem("theme") + Object.keys(localStorage) + ("theme" in localStorage)
    + localStorage.none + JSON.stringify(sessionStorage));
  document.cookie = "a=b"; document.cookie = "c=d; path=/"; document.cookie = "a=; max-age=0";
  document.cookie = "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT"; document.cookie = "e=f; Max-Age=9";
  report("cookies", document.cookie);
  history.replaceState({a: 1}, "", "http://www.example.com/app/2"); history.pushState(null, "");
  document.domain = document.domain;
  report("domain", document.domain);
  navigator.serviceWorker.register("/sw.js").catch(() => 0);
  navigator.serviceWorker.addEventListener("message", () => 0);
  if (window.indexedDB) indexedDB.open("x");
  if (window.caches) caches.open("x");
  new Worker("/worker.js").postMessage("x");
  new SharedWorker("/worker.js").port.start();
"""
_CLOCK = """
  const year = new Date().getFullYear();
  report("clock", [year, new Date(Date.now()).getFullYear(), Date().includes(year), new Date(0).getTime(),
    Date.UTC(1970, 0), new Date() instanceof Date, new Date().constructor === Date, typeof Date.parse("2020")]);
"""
_MORE_ADDRESSES = """
  const add = (name, set) => {
    const made = document.createElement("img"); made.id = name; set(made); document.body.append(made);
  };
  add("property", made => made.srcset = "/i.png 1x, /j.png 2x");
  add("attribute", made => made.setAttribute("srcset", " i.png , j.png 2x"));
  document.body.insertAdjacentHTML("beforeend", "<img id=markup srcset='/i.png 1x,/j.png 2x'><picture>"
    + "<source srcset='/i.png'><img id=source></picture><p id=written style='background: url(i.png)'>");
  for (const [id, set] of [["style", p => p.style.backgroundImage = "url('/i.png#a')"],
      ["text", p => p.setAttribute("style", "background: url( i.png )")], ["sheet", () => 0], ["rule", () => 0]]) {
    const p = document.createElement("p"); p.id = id; document.body.append(p); set(p);
  }
  const added = document.createElement("style");
  document.head.append(added);
  added.append("@import url(more.css); #sheet { background: url(/i.png) }");
  document.body.prepend(document.createElement("style"));
  document.body.firstChild.sheet.insertRule('#rule { background: url("/i.png") }');
"""


def _reporting(code: str) -> bytes:
    report = "const got = {}; const report = (name, value) => got[name] = value;"
    end = "report('end', true); document.documentElement.dataset.got = JSON.stringify(got);"
    return f"<!DOCTYPE html><body><script>{report}{code}{end}</script>".encode()


def test_a_script_goes_on_where_an_opaque_origin_would_stop_it(
    browser: Any, recorded: RecordedPages, scripts: AdminServer
) -> None:
    frame = shown(browser, recorded, scripts, recorded.record(_reporting(_USUAL_CALLS), "/app/1"))
    frame.wait_for_selector("html[data-got]", state="attached", timeout=_LIMIT)
    assert json.loads(frame.locator("html").get_attribute("data-got")) == {
        "storage": "darktheme,a btrueundefined{}",
        "cookies": "e=f",
        "domain": "www.example.com",
        "end": True,
    }
    frame.page.close()


def test_the_clock_of_a_page_begins_when_its_visitor_viewed_it(
    browser: Any, recorded: RecordedPages, scripts: AdminServer
) -> None:
    token = recorded.record(_reporting(_CLOCK), "/clock")
    viewed_at = json.loads(recorded.get(f"/api/recordings/{token}")[2])["viewed_at"]
    frame = shown(browser, recorded, scripts, token)
    frame.wait_for_selector("html[data-got]", state="attached", timeout=_LIMIT)
    year = int(viewed_at[:4])
    assert year < 2026
    found = json.loads(frame.locator("html").get_attribute("data-got"))["clock"]
    assert found == [year, year, True, 0, 0, True, True, "number"]
    frame.page.close()


def test_addresses_in_srcset_and_css_of_scripts_lead_to_the_recording(
    browser: Any, recorded: RecordedPages, scripts: AdminServer
) -> None:
    files = (
        *(requisite(f"/{name}.png", _PNG, "image/png") for name in "ij"),
        requisite("/more.css", b"#sheet { color: rgb(1, 2, 3) }", "text/css"),
    )
    frame = shown(browser, recorded, scripts, recorded.record(_reporting(_MORE_ADDRESSES), "/app", files))
    frame.wait_for_selector("html[data-got]", state="attached", timeout=_LIMIT)
    for name in ("property", "attribute", "markup", "source"):
        shows = f"(image => image.naturalWidth === 1 && image.currentSrc.includes('i.png'))({name})"
        frame.wait_for_function(shows, timeout=_LIMIT)
    for name in ("written", "style", "text", "sheet", "rule"):
        leads = f"getComputedStyle({name}).backgroundImage.includes('file?url=http%3A%2F%2Fwww.example.com%2Fi.png')"
        frame.wait_for_function(leads, timeout=_LIMIT)
    frame.wait_for_function("getComputedStyle(sheet).color === 'rgb(1, 2, 3)'", timeout=_LIMIT)
    frame.page.close()


def test_a_script_reads_neither_the_page_around_it_nor_another_recording(
    browser: Any, recorded: RecordedPages, dashboard: AdminServer, scripts: AdminServer
) -> None:
    """The browser has a cookie of the dashboard, and the script knows the addresses."""
    secret = recorded.record(b"<p>the secret", "/secret")
    context_cookie = {"name": "lbc-admin", "value": "session", "domain": "127.0.0.1", "path": "/"}
    browser.add_cookies([context_cookie])
    code = f"""
      const got = [], wait = [];
      const tries = {{
        cookie: () => Document.prototype.__lookupGetter__("cookie").call(document),
        storage: () => {{ const f = document.createElement("iframe"); document.body.append(f);
                          return f.contentWindow.localStorage.length; }},
        parent: () => parent.document.title,
        top: () => top.location.href,
        opener: () => opener && opener.location.href,
        database: () => indexedDB.open("x") && 0,
        caches: () => caches.keys(),
        api: () => fetch("{dashboard.origin}/api/recordings", {{credentials: "include"}}).then(a => a.text()),
        own: () => fetch("page").then(a => a.text()),
        other: () => fetch("link?url=http%3A%2F%2Fwww.example.com%2Fsecret").then(a => a.text()),
        frame: () => new Promise(done => {{ const f = document.createElement("iframe");
          f.src = "http://www.example.com/secret"; f.onload = () => done(f.contentDocument?.body.textContent ?? null);
          document.body.append(f); }}),
        dashboard: () => new Promise(done => {{ const f = document.createElement("iframe");
          f.onload = () => done(f.contentDocument?.body.textContent ?? null);
          document.body.append(f); f.contentWindow.location = "{dashboard.origin}/replay/{secret}/"; }}),
      }};
      for (const [name, attempt] of Object.entries(tries))
        wait.push((async () => {{ const value = await attempt(); if (value) got.push([name, String(value)]); }})()
          .catch(() => 0));
      Promise.allSettled(wait).then(() => document.body.dataset.got = JSON.stringify(got));
    """
    token = recorded.record(f"<!DOCTYPE html><body><script>{code}</script>".encode(), "/curious")
    dashboard.asked.clear()
    frame = shown(browser, recorded, scripts, token)
    frame.wait_for_selector("body[data-got]", state="attached", timeout=_LIMIT)
    assert json.loads(frame.locator("body").get_attribute("data-got")) == []
    assert dashboard.asked == []
    frame.page.close()


def test_a_page_without_the_page_around_it_runs_nothing(
    browser: Any, recorded: RecordedPages, scripts: AdminServer
) -> None:
    """Also where a browser does not say that it asks for a document: without TLS, from another machine."""
    markup = b"<!DOCTYPE html><body><p id=seen>seen<script>document.title = 'ran'</script>"
    token = recorded.record(markup, "/alone")
    page = browser.new_page()
    start = f"{scripts.origin}/{recorded.key(token)}/{token}/"
    page.goto(f"{start}page", wait_until="load")
    assert page.url == start
    page.route(
        "**/page",
        lambda route: route.fulfill(
            body=recorded.get_with_scripts(f"{start[len(scripts.origin) :]}page")[2].decode(), content_type="text/html"
        ),
    )
    with page.expect_event("pageerror", timeout=_LIMIT) as stopped:
        page.goto(f"{start}page", wait_until="commit")
    assert "only inside of a frame" in str(stopped.value)
    # An empty document would fulfil the other conditions too, before its scripts ran.
    page.wait_for_function("document.readyState === 'complete'", timeout=_LIMIT)
    assert page.evaluate("document.getElementById('seen')") is None
    assert page.title() != "ran"
    page.close()

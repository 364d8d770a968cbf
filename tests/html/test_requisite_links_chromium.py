"""A real browser asks for no file of a page that is not found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisites import style_sheet_links
from lbcompanion.html.css_urls import read_css
from lbcompanion.html.requisite_links import page_links
from lbcompanion.html.urls import resolve_url, target_of
from tests.support.fixed_server import Server

pytestmark = pytest.mark.browser

SHEET = r"""@charset "utf-8"; @import/**/"import1.css"; @import url( import2.css ) screen;
@font-face { font-family: f; src: url("f\6fnt.woff2") format("woff2") }
body { font-family: f; background: URL(bg\ 1.png), u\72l("bg2.png"), image-set("set1.png" 1x, url(set2.png) 2x) }
p { content: "url(no.png)"; background: url(bad"x); } /* url(no2.png) */ i::before { content: url('\22 quoted.png') }"""
BODY = """<base href="/sub/"><link rel="StyleSheet" href="a.css?\u00fc"><link rel=icon href=/icon.png>
<link rel=preload as=image imagesrcset="/pre,1.png 1x, /pre,2.png 2x"><script src="s.js?a=1&copy=2&amp;b"></script>
<style>b { background: url(in\\line.png) }</style></head><body background="bodybg.png">
<p style="background: url(&quot;attr.png&quot;)">text</p><b>b</b><i>i</i>
<img src="/back\\slash.png"><img src=" /blank\tin\nside.png "><img src="/\u00fc.png?\u00fc&x=%zz"><img src="/a;?">
<img srcset="/c_fill,w_1/a.png 1x, /c_fill,w_2/a.png 2x"><img srcset="x,y,,z,"><img srcset="n.png 1x 2x, o.png">
<picture><source srcset="p.webp 1x, q.webp 3x"><img src=fallback.png></picture><img src="#x"><img src="">
<iframe srcdoc="<base href=/doc/><img src=d.png><style>p{background:url(e.png)}</style><p>p"></iframe>
<svg><image href="svg.png"/><image xlink:href="old.png"/><use href="#local"/></svg><input type=image src=button.png>
<video poster=poster.png></video><noscript><img src=noscript.png></noscript><!-- <img src=no3.png> -->
<textarea><img src=no4.png></textarea><table background=table.png><td background=td.png>x</table><img src=/a|b.png>"""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def _wait_until_quiet(server: Server, page: Any, count: int) -> None:
    """Wait until so many different requests came, and none for half a second."""
    until, before = time.monotonic() + 60, -1
    while len({*server.asked}) < count or len(server.asked) > before:
        assert time.monotonic() < until, server.asked
        before = len(server.asked)
        page.wait_for_timeout(500)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_what_chromium_asks_for_is_found(server: Server, page: Any, charset: str) -> None:
    body = f"<!DOCTYPE html><html><head>{BODY}".encode(charset)
    kind = f"text/html; charset={charset}"
    server.answers["/dir/page?q=1"] = (200, {"Content-Type": kind}, body)
    sheet_url = resolve_url(f"{server.origin}/sub/", "a.css?\u00fc", charset)
    server.answers[target_of(sheet_url)] = (200, {"Content-Type": "text/css"}, SHEET.encode())
    page.goto(f"{server.origin}/dir/page?q=1")
    _wait_until_quiet(server, page, 26)
    found = {*page_links(body, f"{server.origin}/dir/page?q=1", kind).urls}
    assert sheet_url in found
    found |= {resolve_url(sheet_url, each) for each in read_css(SHEET, 10_000, 1000).urls}
    # Chromium encodes ``|`` in a path, against the URL Standard.
    known = {target_of(each).replace("|", "%7C") for each in found} | {"/dir/page?q=1", "/favicon.ico"}
    # ``<img src="#x">`` is the base URL; and Chromium's preload scanner does not know the base of a ``srcdoc``.
    known |= {"/sub/", "/sub/d.png"}
    assert set(server.asked) - known == set()
    assert len(set(server.asked)) > 25
    assert not any("no" in each.rpartition("/")[2][:2] for each in known - {"/sub/noscript.png", "/sub/no.png"})


def test_in_which_encoding_chromium_sends_the_queries_of_css(server: Server, page: Any) -> None:
    """A style sheet's queries are in its own encoding, those of a ``style`` attribute in UTF-8."""
    body = (
        "<!DOCTYPE html><html><head><style>@import '/i.css?\u00fc'; b { background: url(/b.png?\u00fc) }</style>"
        "<link rel=stylesheet href=/legacy.css><link rel=stylesheet href=/declared.css></head>"
        "<body><p style='background: url(/attr.png?\u00fc)'>x</p><b>b</b><i>i</i><u>u</u>"
        "<svg><style>s { background: url(/s.png?\u00fc) }</style></svg><s>s</s>"
        "<iframe srcdoc='<style>p { background: url(/f.png?\u00fc) }</style><img src=/f2.png?\u00fc><p>p'></iframe>"
    ).encode("iso-8859-1")
    sheets = {
        "/legacy.css": ("text/css", "@import '/j.css?\u00fc'; i { background: url(/i.png?\u00fc) }", "iso-8859-1"),
        "/declared.css": ("text/css; charset=windows-1251", "u { background: url(/u.png?\u0436) }", "windows-1251"),
    }
    page_type = "text/html; charset=iso-8859-1"
    server.answers["/page"] = (200, {"Content-Type": page_type}, body)
    found = {*page_links(body, f"{server.origin}/page", page_type).urls}
    for path, (kind, text, charset) in sheets.items():
        sheet = Requisite(server.origin + path, kind, b"", text.encode(charset))
        server.answers[path] = (200, {"Content-Type": kind}, sheet.body)
        found |= {*style_sheet_links(sheet, "windows-1252").urls}
    page.goto(f"{server.origin}/page")
    _wait_until_quiet(server, page, 13)
    asked = set(server.asked) - {"/page", "/favicon.ico"}
    # Chromium's preload scanner requests an import of the page in the page's encoding, and its parser in UTF-8.
    assert asked - {"/i.css?%FC"} == {target_of(each) for each in found}
    assert len(asked) == 12

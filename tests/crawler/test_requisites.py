from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.fetcher import Copy
from lbcompanion.crawler.requisites import css_links, origin_of, page_links


def links(html: str, url: str = "http://www.example.com/dir/page") -> list[str]:
    return page_links(Copy("n1", url, "GET", 200, "text/html", 0.0, "own", b"", html.encode()))


def test_what_a_page_needs() -> None:
    html = """<html><head><link rel="stylesheet" href="a.css"><link rel=canonical href="/not-this">
    <script src="/b.js#x"></script><style>@import "c.css"; body { background: url( 'd.png' ) }</style></head>
    <body background=e.gif><img src=f.png srcset="g.png 1x, h.png 2x"><a href="/nor-this">x</a>
    <p style="background:url(i.png)"><link rel="preload" as=font href=/j.woff2></body>"""
    base = "http://www.example.com"
    assert links(html) == [
        f"{base}/dir/a.css", f"{base}/b.js", f"{base}/dir/c.css", f"{base}/dir/d.png", f"{base}/dir/e.gif",
        f"{base}/dir/f.png", f"{base}/dir/g.png", f"{base}/dir/h.png", f"{base}/dir/i.png", f"{base}/j.woff2",
    ]  # fmt: skip


def test_a_base_counts() -> None:
    assert links('<base href="/other/"><img src=x.png>') == ["http://www.example.com/other/x.png"]


def test_style_sheets() -> None:
    text = "@import url(a.css); @import 'b.css'; @font-face { src: url(\"c.woff2\") format('woff2') } x{y:url()}"
    assert css_links(text) == ["a.css", "b.css", "c.woff2"]


@pytest.mark.slow
@given(st.text(max_size=300))
def test_no_page_is_too_odd(text: str) -> None:
    for url in links(f"<img src='{text}'><style>{text}{text}"):
        origin_of(url)


def test_origins() -> None:
    assert origin_of("http://A.example/x") == origin_of("http://a.example:80")
    assert origin_of("https://a.example") != origin_of("http://a.example")
    assert origin_of("http://[::1") == ("", "", None)
    assert origin_of("http://a:99999999/") == ("", "", None)

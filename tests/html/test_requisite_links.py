from __future__ import annotations

import re
import time
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.requisite_links import MAX_LINKS, MAX_SEARCHED_BYTES, MAX_STEPS, page_encoding, page_links
from lbcompanion.html.urls import MAX_URL_CHARS, resolve_url

BASE = "http://www.example.com"
LONG_BASE = f"its base URL is longer than {MAX_URL_CHARS} characters"


def links(
    markup: str | bytes, url: str = f"{BASE}/dir/page", content_type: str = "text/html; charset=utf-8"
) -> list[str]:
    body = markup if isinstance(markup, bytes) else markup.encode("utf-8", "replace")
    return [each.removeprefix(BASE) for each in page_links(body, url, content_type).urls]


def test_what_a_page_needs() -> None:
    markup = """<html><head><link rel="stylesheet" href="a.css"><link rel=canonical href="/not-this">
    <script src="/b.js#x"></script><style>@import "c.css"; body { background: url( 'd.png' ) }</style></head>
    <body background=e.gif><img src=f.png srcset="g.png 1x, h.png 2x"><a href="/nor-this">x</a>
    <p style="background:url(i.png)"><link rel="preload" as=font href=/j.woff2></body>"""
    assert links(markup) == [
        *("/dir/a.css", "/b.js", "/dir/c.css", "/dir/d.png", "/dir/e.gif", "/dir/f.png", "/dir/g.png", "/dir/h.png"),
        *("/dir/i.png", "/j.woff2"),
    ]


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        ('<img srcset="/c_fill,w_3/a.png 320w, /c_fill,w_6/a.png 640w">', ["/c_fill,w_3/a.png", "/c_fill,w_6/a.png"]),
        (
            "<picture><source srcset='a.webp 1x, b.webp 2x'><img src=c></picture>",
            ["/dir/a.webp", "/dir/b.webp", "/dir/c"],
        ),
        ("<link rel=preload as=image imagesrcset='/a 1x, /b 2x'>", ["/a", "/b"]),
        ("<LINK REL='Shortcut ICON' HREF=/a><link rel=next href=/no>", ["/a"]),
        (
            "<svg><image href=/a xlink:href=/no /><use xlink:href='/b.svg#x'/><feImage href=/c /></svg>",
            ["/a", "/b.svg", "/c"],
        ),
        ("<svg><use href='#x'/><rect fill='url(#g)' mask='url(/m.svg#x)'/></svg>", ["/m.svg"]),
        ("<svg><title/><image href=/a /><style/><image href=/b /></svg>", ["/a", "/b"]),
        ("<svg><style>x{y:url(/a)}</style></svg><img src=/b>", ["/a", "/b"]),
        ("<img src=''><img src=' #x '><img src='page'><img src=/a>", ["/a"]),
        ("<iframe srcdoc=\"<img src='/a'><style>x{y:url(b)}</style>\"></iframe>", ["/a", "/dir/b"]),
        ("<iframe srcdoc='<base href=/in/><img src=a>'></iframe><img src=b>", ["/in/a", "/dir/b"]),
        ("<base href=/out/><iframe srcdoc='<base href=in/><img src=a>'></iframe>", ["/out/in/a"]),
        ("<iframe src=/no><img src=/no></iframe><img src=/a>", ["/a"]),
        ("<noscript><img src=/a></noscript><template><img src=/b></template>", ["/a", "/b"]),
        ("<script><img src=/no></script><textarea><img src=/no></textarea><title><img src=/no></title>", []),
        ("<img src=/a", []),
        ("<img src='/no><img src=/no>", []),
        ("<img src=/a/><img/src=/b><img alt='>' src=/c>", ["/a/", "/b", "/c"]),
        ("<img src=/a src=/no>", ["/a"]),
        ("<img src='/q?a=1&copy=2&amp;b=&lt;&notit;&#x41;&#13;&copy;'>", ["/q?a=1&copy=2&b=%3C&notit;A%C2%A9"]),
        ("<plaintext><img src=/no>", []),
        (
            "<input type=image src=/a><video poster=/b></video><object data=/c></object><embed src=/d>",
            ["/a", "/b", "/c", "/d"],
        ),
        ("<table background=/a><td background=/b>", ["/a", "/b"]),
        ("<div style='background:u\\72l(/a)'>", ["/a"]),
        ("<img src='/back\\slash.png'><img src='/a\tb\nc'><img src='  /d  '>", ["/back/slash.png", "/abc", "/d"]),
        ("<img src='javascript:x'><img src='data:,x'><img src='blob:x'>", []),
        ("<img src='//user@www.example.com/x'>", []),
    ],
)
def test_as_browsers_find_them(markup: str, found: list[str]) -> None:
    assert links(markup) == found


def test_the_first_base_with_an_address_counts() -> None:
    assert links('<base target=x><base href="/other/"><base href="/no/"><img src=x.png>') == ["/other/x.png"]
    assert links('<base href="data:,x"><img src=x.png>') == ["/dir/x.png"]
    assert links("<base href='ftp://h/'><img src=x.png><img src=http://www.example.com/y>") == ["/y"]
    assert links('<base href="http://cdn.example/"><img src=x.png>') == ["http://cdn.example/x.png"]


def test_the_encoding_of_the_page_counts() -> None:
    assert links(b'<img src="/\xfc?\xfc">', content_type="text/html; charset=latin1") == ["/%C3%BC?%FC"]
    assert links(b'<meta charset=windows-1251><img src="/?\xff">', content_type="text/html") == ["/?%FF"]
    assert links(b'<img src="/\xfc?\xfc">', content_type="text/html") == ["/%C3%BC?%FC"]
    assert links("<img src='/\u00fc?\u00fc'>", content_type="text/html") == ["/%C3%BC?%C3%BC"]
    assert links("<img src='/\u00fc?\u00fc'>".encode("utf-16"), content_type="text/html") == ["/%C3%BC?%C3%BC"]
    # The URL Standard's encoding is that of the document; CSS sends queries in UTF-8.
    assert links(b"<p style='x:url(/?\xfc)'>", content_type="text/html; charset=latin1") == ["/?%C3%BC"]
    assert page_encoding("\u00fc".encode()[:1], "text/html") == "utf-8"
    assert page_encoding(b"\xfc\xfc", "text/html; charset=no-such") == "windows-1252"


def test_xhtml() -> None:
    kind = "application/xhtml+xml"
    assert links("<script src='/a'/><title/><img src='/b'/><![CDATA[<img src='/no'/>]]>", content_type=kind) == [
        "/a",
        "/b",
    ]
    assert links("<style><![CDATA[x{y:url(/a)}]]></style>", content_type=kind) == ["/a"]


def test_only_the_start_of_a_long_page_is_searched() -> None:
    assert links("<img src=/a>" + " " * MAX_SEARCHED_BYTES + "<img src=/no>") == ["/a"]


@given(st.text(max_size=200) | st.text("<>=/'\"abimgsrcstyle -!", max_size=60))
def test_no_page_is_too_odd(text: str) -> None:
    for url in links(f"<img src='{text}'><style>{text}</style>{text}"):
        assert "\n" not in url
        assert url.isascii()


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        *("<", '<a"b>', "<img src=a>", "<!--", "<a ", "<a b='", "<svg>", "<style>", "<img srcset=a,>", '<img src="&'),
        *(
            "<![CDATA[",
            "<p style='a'>",
            "</",
            "<title>",
            "<a href=url(",
            "<svg><![CDATA[",
            "<script></script",
            "<!",
            "&#",
        ),
    ],
)
def test_its_time_is_linear(piece: str) -> None:
    def seconds(size: int) -> float:
        body = (piece * (size // len(piece))).encode()
        start = time.process_time()
        page_links(body, f"{BASE}/", "text/html")
        return time.process_time() - start

    assert min(seconds(100000) for _ in range(2)) < 6 * max(seconds(50000), 0.002)


def test_nested_documents_are_bounded() -> None:
    markup = "<img src=/a>"
    for _ in range(9):
        markup = "<iframe srcdoc='{}'></iframe>".format(markup.replace("&", "&amp;").replace("'", "&#39;"))
    assert links(markup) == []
    assert links(markup * 50) == []


@pytest.mark.slow
def test_the_number_of_links_is_bounded() -> None:
    assert len(links("".join(f"<img src=/{number}>" for number in range(MAX_LINKS + 100)))) == MAX_LINKS
    assert links("<img src=/a>" * 9000 + "<img src=/b>") == ["/a", "/b"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("markup", "reason"),
    [
        ("<p>" * 100_000, ""),
        ("<td>1</td>" * 100_000, ""),
        ("<p a='&'>" * (MAX_STEPS + 1), "its markup takes too long to search"),
        ("<p class='a'><a href='/b'>c</a></p>" * 50_000, ""),
        ("<p a='b'>" * (MAX_STEPS + 1), ""),
        ("<svg>" * (MAX_STEPS + 1), "its markup takes too long to search"),
        ("".join(f"<base href=/{number}>" for number in range(MAX_STEPS // 4)), "its markup takes too long to search"),
        (f"<p style='{'(' * MAX_STEPS}'><p>x", "its markup takes too long to search"),
        (f"<p style='{'(' * MAX_STEPS}'>", "its markup takes too long to search"),
        (f"<style>{'(' * MAX_STEPS}", "its markup takes too long to search"),
        (f"<img srcset='{'a 1x,' * MAX_STEPS}'>", "its markup takes too long to search"),
        (f"<img srcset='a {'1x ' * MAX_STEPS}, b'>", "its markup takes too long to search"),
        (f"<link rel=preload imagesrcset='{'a 1w 1w,' * MAX_STEPS}'>", "its markup takes too long to search"),
        ("<img srcset='a 1x,b 2x'>" * 50_000, ""),
        (f"<img srcset='{','.join(map(' a{}'.format, range(MAX_LINKS)))}'>", ""),
        (f"<img srcset='{','.join(map(' a{}'.format, range(MAX_LINKS + 1)))}'>", f"more than {MAX_LINKS} links"),
        ("".join(f"<img src=/{number}>" for number in range(MAX_LINKS + 1)), f"more than {MAX_LINKS} links"),
        ("<p>" + "x" * MAX_SEARCHED_BYTES, f"longer than {MAX_SEARCHED_BYTES} bytes"),
        (
            f"<base href='/{'a' * MAX_URL_CHARS}/'><img src=a>",
            f"its base URL is longer than {MAX_URL_CHARS} characters",
        ),
        (f"<base href='/{'a' * 999_999}/'><img src=a>", f"its base URL is longer than {MAX_URL_CHARS} characters"),
    ],
)
def test_what_is_not_searched_is_named(markup: str, reason: str) -> None:
    assert page_links(markup.encode(), f"{BASE}/dir/page", "text/html").unsearched == reason


def test_a_base_that_is_too_long_leaves_the_absolute_links() -> None:
    long = "a" * MAX_URL_CHARS
    assert links(f"<base href='/{long}/'><img src=a><img src='{BASE}/b'>") == ["/b"]
    inner = f"<base href='/{long}/'><img src=a>".replace("'", "&quot;")
    assert links(f"<iframe srcdoc='{inner}'></iframe><img src=b>") == ["/dir/b"]


@pytest.mark.parametrize("text", [f"http://www.example.com/{'a' * 1_000_000}/", f"{'a/' * 500_000}"])
def test_a_long_base_is_read_once(text: str) -> None:
    with mock.patch("lbcompanion.html.requisite_links.resolve_url", wraps=resolve_url) as resolve:
        links(f"<base href='{text}'>" + "".join(f"<img src={number}>" for number in range(50)))
    assert max(len(call.args[0]) for call in resolve.call_args_list) <= MAX_URL_CHARS


SOUP = st.lists(st.sampled_from([
    "<p>", "<td>", "</td>", "<br/>", "<title>", "</title>", "<TITLE>", "<svg>", "</svg>", "<style>", "</style>",
    "<b a>", "<img src=/a>", "<img src=/b", ">", "<", "x", "<!--", "-->", "<script>", "</script>", "<plaintext>",
    "<svgx>", "<noembed>", "</noembed>", "<![CDATA[", "]]>", "<iframe>", "</iframe>", "</p x='", "'", "x{y:url(/c)}",
    '<a href="x">', "<a href='x>", "<p class=x>", "<p style='a:url(/d)'>", '<p a="(">', "<td background=/e>", "/>", "&",
    '<p ="a>b">', '<p a"b>', "<p a=b/>", "<use href=/g>", "<a href='?a&b'>", "<image/x>", "<svg/>", "<svg a>",
    '<p style="&#117;rl(/h)">', '<p a="b"c="d">', "<P A=B>", "<p a=>", "<p a='b' style=url(/i)>", '"', "=", " a=", "<p",
    "<p a = 'b'>", "<math>", "<textarea>", "</textarea>", "</>", "</3>", "<p/>", "<p\n>",
    "<p class='a'", '<a href="/x">', '<a href="', '"', "<P STYLE='background:url(/d)'>", "<p style=a:url&#40;/e)>",
    "<td background='/f'>", "<TD a BACKGROUND=/g >", "<div a=b>", "<div a = '>' b>", "<div a='>' b>", "<imgx src=/h>",
    "<base href='/i/'>", "<script a='b'>", "<SVG a='b' />", "<plaintext a>",
    "<p a=\"'\">", "<p a/b='c'>", "<p a='b'c='('>",
]), max_size=20).map("".join)  # fmt: skip


@given(SOUP, st.sampled_from(["text/html", "application/xhtml+xml"]))
def test_what_is_skipped_at_once_would_name_no_file(text: str, content_type: str) -> None:
    found = page_links(text.encode(), BASE, content_type)
    with mock.patch("lbcompanion.html.requisite_links._PLAIN", re.compile(rb"(?!)")):
        assert page_links(text.encode(), BASE, content_type) == found

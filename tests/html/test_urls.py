from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.urls import document_base, origin_of, path_of, resolve_url, target_of

PAGE = "http://www.example.com/dir/page?q=1"
SITE = "http://www.example.com"


# What Chromium's `new URL(text, PAGE).href` gives, less the fragment.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.png", f"{SITE}/dir/x.png"),
        ("", PAGE),
        ("#top", PAGE),
        ("?z", f"{SITE}/dir/page?z"),
        (" \t\r\n\x00/x\x1f ", f"{SITE}/x"),
        ("/a\tb\r\nc", f"{SITE}/abc"),
        ("ht\ntp://www.example.com\r\n/x", f"{SITE}/x"),
        ("/a b", f"{SITE}/a%20b"),
        ("/\x1b\x85\u2028", f"{SITE}/%1B%C2%85%E2%80%A8"),
        ("/\u00fcmlaut.png", f"{SITE}/%C3%BCmlaut.png"),
        ("/q.png?x=\u00fc&y=1", f"{SITE}/q.png?x=%C3%BC&y=1"),
        ("/back\\slash.png", f"{SITE}/back/slash.png"),
        ("/q?back\\slash", f"{SITE}/q?back\\slash"),
        ("\\\\other.example\\x", "http://other.example/x"),
        ("/%7e%zz%", f"{SITE}/%7e%zz%"),
        ("/x|[]\"<>'", f"{SITE}/x|[]%22%3C%3E'"),
        ("/?x|[]\"<>'", f"{SITE}/?x|[]%22%3C%3E%27"),
        ("a/../b/./c", f"{SITE}/dir/b/c"),
        ("/a/%2e%2E/b", f"{SITE}/b"),
        ("../../..", f"{SITE}/"),
        (".", f"{SITE}/dir/"),
        ("http:x", f"{SITE}/dir/x"),
        ("http:/x", f"{SITE}/x"),
        ("https:x", "https://x/"),
        ("https:/\\x\\y", "https://x/y"),
        ("HTTP://WWW.Example.COM:80", f"{SITE}/"),
        ("http://www.ex%61mple.com:0081/", f"{SITE}:81/"),
        ("http://www.example.com:/", f"{SITE}/"),
        ("http://[::0001]:8080/", "http://[::1]:8080/"),
        ("http://127.0.0.1./x", "http://127.0.0.1/x"),
        ("////www.example.com//x", f"{SITE}//x"),
        ("font.eot?#iefix", f"{SITE}/dir/font.eot?"),
        ("/a;", f"{SITE}/a;"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://1.2.3/", "http://1.2.0.3/"),
        ("//b\u00fccher.example/", "http://xn--bcher-kva.example/"),
        ("//\uff45xample.com/\ud800", "http://example.com/%EF%BF%BD"),
        ("/^`{}|", f"{SITE}/%5E%60%7B%7D|"),
        ("?^`{}|", f"{SITE}/dir/page?^`{{}}|"),
        ("/a;/b;c", f"{SITE}/a;/b;c"),
    ],
)
def test_as_browsers_read_them(text: str, expected: str) -> None:
    assert resolve_url(PAGE, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("javascript:x", "data:text/css,x", "blob:http://www.example.com/x", "ftp://www.example.com/"),
        *(
            "//user@www.example.com/",
            "http://u:p@www.example.com/",
            "http://www.example.com@/",
            "http://",
            "http://:80/",
        ),
        *(
            "http://[::1",
            "http://[::1%25a]/",
            "http://[x]/",
            "http://a b/",
            "http://a^b/",
            "http://a%00b/",
            "http://%ff/",
        ),
        *(
            "http://a:65536/",
            "http://a:99999999/",
            "http://a:b/",
            "http://a:\u0663/",
            "http://1.2.3.4.5/",
            "http://256.1.1.1/",
            "http://xn--a/",
        ),
    ],
)
def test_invalid_urls(text: str) -> None:
    assert resolve_url(PAGE, text) == ""


def test_without_a_base() -> None:
    assert resolve_url("", "/x") == resolve_url("", "x") == resolve_url("", "") == ""
    assert resolve_url("", "http://h/x") == "http://h/x"


def test_queries_are_in_the_encoding_of_the_page() -> None:
    assert resolve_url(PAGE, "/\u00fc?\u00fc\u20ac\u4e00#\u00fc", "latin1") == f"{SITE}/%C3%BC?%FC%80%26%2319968%3B"
    assert resolve_url(PAGE, "?\u30bd", "shift_jis") == f"{SITE}/dir/page?%83\\"
    assert resolve_url(PAGE, "?\u00fc", "utf-16be") == resolve_url(PAGE, "?\u00fc") == f"{SITE}/dir/page?%C3%BC"
    assert resolve_url(PAGE, "?a=\u00fc", "no such encoding") == f"{SITE}/dir/page?a=%C3%BC"
    assert resolve_url(PAGE, "?\u65e5\u672c", "iso-2022-jp") == f"{SITE}/dir/page?%1B$BF|K\\%1B(B"


def test_long_urls_are_not_used() -> None:
    assert resolve_url(PAGE, "/" + "a" * 9000) == ""


def test_the_base_of_a_document() -> None:
    assert document_base(PAGE, None) == PAGE
    assert document_base(PAGE, "/x/") == f"{SITE}/x/"
    assert document_base(PAGE, "data:,x") == document_base(PAGE, "javascript:x") == document_base(PAGE, "//[") == PAGE
    assert resolve_url(document_base(PAGE, "ftp://h/"), "x") == ""
    assert resolve_url(document_base(PAGE, "ftp://h/"), "//www.example.com/x") == ""
    assert resolve_url(document_base(PAGE, "ftp://h/"), "http://www.example.com/x") == f"{SITE}/x"


def test_parts_of_an_address() -> None:
    assert (path_of("http://h/a;b?c"), target_of("http://h/a;b?c?")) == ("/a;b", "/a;b?c?")
    assert (path_of("http://h"), target_of("http://h")) == ("/", "/")
    assert origin_of("http://A.example/x") == origin_of("http://a.example:80")
    assert origin_of("https://a.example") != origin_of("http://a.example")
    assert origin_of("http://[::1") == origin_of("http://a:99999999/") == origin_of("ftp://h/") == ""


@given(st.text() | st.text("htps:/\\.@%2e?#;[]x\r\n\t \u00fc"), st.text("htps:/\\.@%2e?#;[]x\r\n\t \u00fc"))
def test_it_is_one_text(base: str, text: str) -> None:
    found = resolve_url(resolve_url(PAGE, base), text)
    assert not found or re.fullmatch(r"https?://[!-~]+/[!-~]*", found)
    assert resolve_url(PAGE, found) == found or not found

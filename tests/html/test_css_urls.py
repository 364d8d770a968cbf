from __future__ import annotations

import re
import time
from typing import Any
from unittest import mock

import pytest
import tinycss2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.css_urls import decode_style_sheet, read_css


def css_urls(text: str) -> list[str]:
    found = read_css(text, max_steps=10**9, max_urls=10**9)
    assert found.is_whole
    return list(found.urls)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("@import url(a.css); @import 'b.css'; @import\t\"c.css\" screen;", ["a.css", "b.css", "c.css"]),
        ("@import/* x */'a.css' layer(x); @IMPORT url('b.css')", ["a.css", "b.css"]),
        ("@import x 'a.css'", []),
        ("x{@namespace;y:url(a)}", ["a"]),
        ("x{@namespace} y{z:url(a)} @namespace url(b); z{w:url(c)}", ["a", "c"]),
        ("x{y:url(\0a)}", ["\ufffda"]),
        ("x{y:url()}", []),
        ("x{y:url( a.png )}", ["a.png"]),
        ("x{y:url(a b)} z{y:url(c)}", ["c"]),
        ("x{y:URL(a.png),u\\72l(b.png),ur\\6c  (c)}", ["a.png", "b.png"]),
        ("x{y:url(a\\ b\\29 c)}", ["a b)c"]),
        ("x{y:url('a\\\nb\\'c')}", ["ab'c"]),
        ('x{y:url(bad"x) url(g)}', ["g"]),
        ("x{y:url(a(b) url(g)}", ["g"]),
        ("/* url(no) @import 'no' */ x{y:url(a)/**/}", ["a"]),
        ("x{y:\"url(no)\";z:'/*';w:url(a)}", ["a"]),
        ('x{y:"no\nurl(a)}', ["a"]),
        ("x{y:url('no\n)} z{w:url(a)}", ["a"]),
        ("x{y:url('a\\", ["a"]),
        ("x{y:12url(a) #url(b) --url(c) @url(d)}", []),
        ("x{y:image-set('a.png' 1x, url(b.png) 2x, 'c.png' type('image/png') 3x)}", ["a.png", "b.png", "c.png"]),
        ("x{y:-webkit-image-set(url(a) 1x)} x{y:src('b')}", ["a", "b"]),
        ("@namespace svg url(http://www.w3.org/2000/svg); x{y:url(a)}", ["a"]),
        ("@font-face { src: url(\"c.woff2\") format('woff2'), url(d.eot?#iefix) }", ["c.woff2", "d.eot?#iefix"]),
        ("x{fill:url(#gradient);filter:url('#f');mask:url(m.svg#x)}", ["m.svg#x"]),
        ("x{y:url(unclosed.png", ["unclosed.png"]),
        ("x{y:url('unclosed.png", ["unclosed.png"]),
        ("x{y:url(a\\", ["a\ufffd"]),
        ("x{y:url(\\0 \\d800 \\110000 )}", ["\ufffd\ufffd\ufffd"]),
        ("<!-- @import 'a.css'; -->", ["a.css"]),
        ("x{--y:url(a.png)}", ["a.png"]),
    ],
)
def test_as_the_tokenizer_reads_it(text: str, urls: list[str]) -> None:
    assert css_urls(text) == urls


def by_tinycss2(text: str) -> list[str]:
    """The URLs of ``url()`` and ``@import``, found by another tokenizer."""
    found: list[str] = []

    def walk(nodes: list[Any]) -> None:
        import_follows = False
        for node in nodes:
            if node.type in {"whitespace", "comment"}:
                continue
            if node.type == "url" or (node.type == "string" and import_follows):
                found.append(node.value)
            import_follows = node.type == "at-keyword" and node.lower_value == "import"
            if node.type == "function":
                if node.lower_name == "url" and (strings := [each for each in node.arguments if each.type == "string"]):
                    found.extend(each.value for each in strings)
                walk(node.arguments)
            elif hasattr(node, "content"):
                walk(node.content)

    walk(tinycss2.parse_component_value_list(text))
    return [each for each in found if each and not each.startswith("#")]


PIECES = st.sampled_from(
    [
        *(
            "url(",
            "URL(",
            "u\\72l(",
            "@import",
            "@IMPORT ",
            '"',
            "'",
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            ";",
            ":",
            ",",
            " ",
            "\n",
        ),
        *(
            "a.png",
            "a",
            "#b",
            "/*",
            "*/",
            "\\",
            "\\\n",
            "\\29 ",
            "\\26",
            "-",
            "1",
            "1e",
            "u+",
            "<!--",
            "-->",
            "@",
            "#",
            "\u00fc",
            "/",
        ),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_it_agrees_with_another_tokenizer(text: str) -> None:
    if "namespace" not in text:
        assert css_urls(text) == list(dict.fromkeys(by_tinycss2(text)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["{", "a(", "url(", "/*", '"\n', "<", "\\", "u+", "@", "@import", "(a", "'\\", "a\\", "url(a) ", "image-set('a'"],
)
def test_its_time_is_linear(piece: str) -> None:
    def seconds(count: int) -> float:
        text = piece * count
        start = time.process_time()
        css_urls(text)
        return time.process_time() - start

    assert min(seconds(20000) for _ in range(2)) < 6 * max(seconds(10000), 0.002)


def test_the_encoding_of_a_style_sheet() -> None:
    body = "x{y:url(\u00fc)}".encode("latin-1")
    assert css_urls(decode_style_sheet(body, "iso-8859-1", "utf-8")[0]) == ["\u00fc"]
    assert css_urls(decode_style_sheet(b'@charset "latin1";' + body, "", "utf-8")[0]) == ["\u00fc"]
    assert css_urls(decode_style_sheet(body, "", "windows-1252")[0]) == ["\u00fc"]
    assert css_urls(decode_style_sheet(b"\xef\xbb\xbfx{y:url(\xc3\xbc)}", "latin1", "")[0]) == ["\u00fc"]
    assert css_urls(decode_style_sheet(b'@charset "utf-16";x{y:url(\xc3\xbc)}', "no such", "")[0]) == ["\u00fc"]


def test_the_encoding_that_was_used_is_named() -> None:
    assert decode_style_sheet(b"x", "latin1", "koi8-r") == ("x", "windows-1252")
    assert decode_style_sheet(b"x", "", "koi8-r") == ("x", "koi8-r")
    assert decode_style_sheet(b'@charset "cp1251";', "no such", "koi8-r")[1] == "windows-1251"
    assert decode_style_sheet(b"\xef\xbb\xbfx", "latin1", "koi8-r") == ("x", "utf-8")


def test_imports_are_told_apart() -> None:
    found = read_css("@import 'a'; @import url(b) screen; x{y:url(c)} @media x{y:url(d)} @import 'e'", 100, 100)
    assert found.urls == ("a", "b", "c", "d", "e")
    assert found.imported == {"a", "b", "e"}


def test_the_search_stops_at_a_limit() -> None:
    text = "x{y:url(a)}" * 3 + "x{y:url(b)}z{y:url(c)}"
    assert read_css(text, 10**9, 2).urls == ("a", "b")
    assert not read_css(text, 10**9, 2).is_whole
    steps = read_css(text, 10**9, 10).steps
    assert read_css(text, steps, 10).is_whole
    assert not read_css(text, steps - 1, 10).is_whole
    assert read_css(text, 5, 10).steps == 5


@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_is_skipped_at_once_has_no_urls(text: str) -> None:
    found = css_urls(text)
    never = re.compile(r"(?!)")
    with mock.patch.multiple("lbcompanion.html.css_urls", _PLAIN=never, _PLAIN_BLOCK=never):
        assert css_urls(text) == found

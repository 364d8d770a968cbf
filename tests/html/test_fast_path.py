"""Common pages: the fast path finds the same places as the full injector."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.charset import find_meta_charset, prescan
from lbcompanion.html.fast_path import fast_head_end, fast_head_start
from lbcompanion.html.in_head import end_of_common_tokens
from lbcompanion.html.inject import Injector
from tests.html.cases.position import PAGES
from tests.support.html_corpus import documents
from tests.support.html_fragments import FRAGMENTS, page_of

SNIPPET = b"<script async src=x data-lbc-token=t></script>"


def by_machine(page: bytes, charset: str | None, needs_document: bool, top_at_head_end: bool) -> bytes:
    def asked(policies: tuple[str, ...]) -> str:
        raise AssertionError(f"not usual: {policies}")

    injector = Injector(
        SNIPPET,
        charset_known=charset is not None,
        needs_document=needs_document,
        on_policies=asked,
        top_at_head_end=top_at_head_end,
    )
    out = injector.feed(page) + injector.finish()
    assert injector.inserted
    return out


def same_as_the_machine(page: bytes) -> tuple[int | None, int | None]:
    """Where it goes at the head's start and end by one look, if that tells; checked."""
    assert find_meta_charset(page) == prescan(page)
    for top_at_head_end, fast in ((False, fast_head_start), (True, fast_head_end)):
        for charset in ("utf-8", None):
            place = fast(page, charset, len(SNIPPET))
            if place is not None:
                for needs_document in (False, True):
                    expected = page[:place] + SNIPPET + page[place:]
                    assert by_machine(page, charset, needs_document, top_at_head_end) == expected
    return fast_head_start(page, "utf-8", len(SNIPPET)), fast_head_end(page, "utf-8", len(SNIPPET))


START = b'<!DOCTYPE html>\n<html lang="en">\n<head>'


@pytest.mark.parametrize(
    "page",
    [
        START + b'|<meta charset="utf-8">\n<title>x</title></head><body>',
        b"<!doctype html><html><head>|</head>",
        b"<!DOCTYPE HTML><HTML CLASS='no-js' DIR=ltr><head>|<script>a</script><!-- b --></head>",
        b"\xef\xbb\xbf<!doctype html><html><head>|<meta charset=utf-8></head>",
        b"<!-- a comment --><!DOCTYPE html PUBLIC 'x'><html lang=en><!-- b --><head>|</head>",
        b"<html><head>|</head>",
        b"<!doctype html><head>|</head>",
        START + b"|<!--[if IE]><script src=x></script><![endif]--><link rel=x></head><body>data-lbc-token",
        START + b"|<meta charset=windows-1251></head>",
    ],
)
def test_usual_pages(page: bytes) -> None:
    place = page.index(b"|")
    page = page.replace(b"|", b"")
    assert same_as_the_machine(page) == (place, page.index(b"</head>"))
    assert fast_head_start(page, None, len(SNIPPET)) == place
    assert fast_head_start(page, "windows-1252", len(SNIPPET)) == place


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<head></head>",
        b"text<html><head></head>",
        b"<!doctype html><html><head profile=x></head>",
        b"<!doctype html><html><HEAD></HEAD>",
        b"<!doctype html><html><title>x</title><body>",
        b"<!doctype html><html amp><head></head>",
        "<!doctype html><html \u26a14ads><head></head>".encode(),
        b"<!doctype html><html title='<head>'></head>",
        b"<!-- <html><head> --><p></head>",
        START + b"<title>x</title><body>",
        START + b"<META http-equiv='Content-Security-Policy' content=\"script-src 'self'\"></head>",
        START + b"<script src=x DATA-LBC-TOKEN=t></script></head>",
        START + b"<script>'</head>'</script></head>",
        START + b"<!-- </head> --></head>",
        START + b" " * 16384 + b"</head>",
        b"<!--" + b" " * 600 + b"--><html><head></head>",
        "<!doctype html><html><head></head>".encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_left_to_the_machine(page: bytes) -> None:
    assert same_as_the_machine(page) == (None, None)


COMMON = [
    b"",
    b"\n<title>x &amp; y</title>\n",
    b'<meta name="a" content="b > c"><link rel=x href=/a/b/><base href="/x">',
    b"<meta charset=utf-8/><link disabled rel='it\"s'>",
    b"<script>if (a < b && c > d) { '</p>' }</script><script src=x async defer></script>",
    b"<style>a > b {}</style><!-- <p> --><!--[if IE]><script></script><![endif]-->",
    b'<meta http-equiv="X-UA-Compatible" content="IE=edge">',
]
NOT_COMMON = [
    b"text",
    b"&#32;",
    b"<p>",
    b"<title>x</title><img src=x>",
    b"<title><b></title>",
    b"<TITLE>x</TITLE>",
    b'<meta a=b"c d="><p x=">',
    b'<meta ="a>b">',
    b'<meta a= "b">',
    b'<link a="b"c>',
    b"<script>a</SCRIPT >",
    b"<script><!-- <script></script> --></script>",
    b"<style>a</STYLE><p></style>",
    b"<!--><p>-->",
    b"<!-- a -- b -->",
    b"<!-- a --!><p>-->",
    b"<template></template>",
    b"<noscript></noscript>",
    b'<meta http-equiv="Content&#45;Security-Policy" content="script-src \'none\'">',
    b"<meta http-equiv='  Content-Security-Polic&#121;' content=x>",
    b"<linkx>",
    b"\x00",
    b"\x0b",
]


@pytest.mark.parametrize("base", [b"<base href=/a>", b"<BASE HREF=/a>"])
def test_a_base_may_be_uncommon(base: bytes) -> None:
    page = b"<!DOCTYPE html><html><head><title>a</title>" + base + b"</head><body></body></html>"
    for _ in range(2):
        assert fast_head_end(page, "utf-8", 10, base_allowed=False) is None
        found = fast_head_end(page, "utf-8", 10)
        assert found == (page.index(b"</head>") if base.islower() else None)
    assert fast_head_end(page.replace(base, b""), "utf-8", 10, base_allowed=False) is not None


@pytest.mark.parametrize("head", COMMON)
def test_common_heads(head: bytes) -> None:
    page = START + head + b"</head>"
    for _ in range(2):
        assert same_as_the_machine(page)[1] == page.index(b"</head>", len(START + head))


@pytest.mark.parametrize("head", NOT_COMMON)
def test_heads_that_are_left_to_the_machine(head: bytes) -> None:
    page = START + head + b"</head>"
    assert fast_head_end(page, "utf-8", len(SNIPPET)) is None


@pytest.mark.slow
def test_time_is_linear_in_the_length_of_a_head() -> None:
    def used(count: int) -> float:
        head = b"<script>" + b"http-equiv= <" * count + b"</script>" + b"<meta a='b'>" * count
        before = process_time()
        end_of_common_tokens(head, 0)
        return process_time() - before

    used(1000)
    assert used(80000) < 9 * used(20000) + 0.05


def test_a_late_charset_is_left_to_the_machine() -> None:
    page = START + b"<!--" + b" " * 900 + b"--><meta charset=utf-8></head>"
    assert fast_head_start(page, "utf-8", 10) == len(START)
    room = 1024 - page.index(b"</head>")
    assert fast_head_start(page, None, room) == len(START)
    assert fast_head_start(page, None, room + 1) is None
    assert fast_head_end(page, None, 10) == page.index(b"</head>")
    for fast in (fast_head_start, fast_head_end):
        assert fast(START + b"<meta charset=iso-2022-jp></head>", None, 10) is None
    in_body = START + b"</head><body><!--" + b" " * 900 + b"--><meta charset=utf-8>"
    assert fast_head_end(in_body, "utf-8", 200) == len(START)
    assert fast_head_end(in_body, None, 200) is None


@pytest.mark.parametrize("charset", ["utf-16le", "utf-16", "iso-2022-jp", "replacement"])
def test_charsets_in_which_ascii_does_not_mean_itself(charset: str) -> None:
    assert fast_head_start(START + b"</head>", charset, 10) is None


@pytest.mark.slow
def test_over_the_corpus() -> None:
    told = 0
    for document in documents():
        told += same_as_the_machine(document)[0] is not None
        told += same_as_the_machine(START + document + b"</head>")[0] is not None
    assert told > len(documents()) // 2


@pytest.mark.slow
@pytest.mark.parametrize("expected", PAGES)
def test_wherever_a_page_ends(expected: str) -> None:
    page = page_of(expected)
    for end in range(min(len(page), 400) + 1):
        same_as_the_machine(page[:end])
        same_as_the_machine(START + page[:end] + b"</head>")


@given(FRAGMENTS, st.sampled_from([b"", START, b"<!doctype html><html><head>"]), st.sampled_from([b"", b"</head>"]))
def test_over_soups(soup: bytes, start: bytes, end: bytes) -> None:
    same_as_the_machine(start + soup + end)


@pytest.mark.slow
@given(st.data())
def test_over_mutated_pages(data: st.DataObject) -> None:
    page = START + b"<meta charset=utf-8><title>x</title><script>a</script><!-- b --></head><body></body>"
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(page)))
        end = data.draw(st.integers(start, min(len(page), start + 12)))
        page = page[:start] + data.draw(st.binary(max_size=3) | FRAGMENTS) + page[end:]
    same_as_the_machine(page)

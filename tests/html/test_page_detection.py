"""Which answers are pages, and into which of them something may be inserted."""

from __future__ import annotations

import pytest

from lbcompanion.html.page_detection import detect_page, may_be_html
from lbcompanion.http1.fragment_fields import FRAGMENT_FIELDS, REQUESTED_WITH

HTML = [(b"content-type", b"text/html; charset=utf-8")]
NAVIGATION = [(b"sec-fetch-dest", b"document"), (b"sec-fetch-mode", b"navigate")]


@pytest.mark.parametrize("dest", [b"document", b"iframe", b"frame", b"Document"])
def test_a_navigation_to_a_page(dest: bytes) -> None:
    judged = detect_page([(b"sec-fetch-dest", dest), (b"sec-fetch-mode", b"navigate")], 200, HTML)
    assert (judged.page, judged.inject, judged.reason) == (True, True, "")
    assert (judged.fragment, judged.needs_document, judged.xhtml, judged.charset) == (False, False, False, "utf-8")


def test_without_fetch_metadata_the_page_must_show_that_it_is_one() -> None:
    judged = detect_page([(b"host", b"x")], 200, HTML)
    assert (judged.inject, judged.needs_document) == (True, True)


def test_a_web_view_sends_its_packages_name() -> None:
    assert detect_page([(b"x-requested-with", b"com.example.app")], 200, HTML).inject


@pytest.mark.parametrize("content_type", [b"application/xhtml+xml", b"Application/XHTML+xml ; charset=UTF-8"])
def test_xhtml(content_type: bytes) -> None:
    judged = detect_page(NAVIGATION, 200, [(b"content-type", content_type)])
    assert (judged.inject, judged.xhtml) == (True, True)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"content-type", b"")],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"text/event-stream")],
        [(b"content-type", b"application/json; x=text/html")],
        [(b"content-type", b"text/html5")],
        [(b"content-type", b"text/html"), (b"content-type", b"text/plain")],
        [(b"content-type", b"text/html; a=b"), (b"content-type", b"text/plain")],
        [(b"content-type", b"text/html, text/plain; charset=utf-8")],
        [(b"content-type", b'text/plain; a=", text/html"')],
        [(b"content-type", b"text/html x")],
        [*HTML, (b"content-disposition", b"attachment")],
        [*HTML, (b"content-disposition", b' ATTACHMENT; filename="x.html"')],
    ],
)
def test_no_page(fields: list[tuple[bytes, bytes]]) -> None:
    judged = detect_page(NAVIGATION, 200, fields)
    assert (judged.page, judged.inject) == (False, False)
    assert judged.reason


@pytest.mark.parametrize("status", [100, 101, 103, 204, 205, 206, 304])
def test_a_status_without_a_whole_page(status: int) -> None:
    assert not detect_page(NAVIGATION, status, HTML).page


def test_head() -> None:
    assert not detect_page(NAVIGATION, 200, HTML, b"HEAD").page


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ([(b"sec-fetch-dest", b"empty")], "fragment"),
        ([(b"sec-fetch-dest", b"document"), (b"sec-fetch-mode", b"cors")], "fragment"),
        ([(b"sec-fetch-mode", b"same-origin")], "fragment"),
        ([(b"x-requested-with", b"XMLHttpRequest")], "fragment"),
        ([(b"hx-request", b"true")], "fragment"),
        ([(b"turbo-frame", b"f1")], "fragment"),
        ([(b"x-pjax", b"true")], "fragment"),
        ([(b"x-requested-with", b"XMLHttpRequest, XMLHttpRequest")], "fragment"),
        ([(b"x-requested-with", b"x"), (b"x-requested-with", b"Swup")], "fragment"),
        ([*NAVIGATION, (b"x-up-version", b"3.9.0")], "fragment"),
        ([(b"hx-request", b"true"), (b"hx-boosted", b"true")], "fragment"),
        ([(b"sec-fetch-dest", b"document"), (b"sec-fetch-dest", b"empty")], "fragment"),
        ([(b"sec-purpose", b"prefetch")], "prefetch"),
        ([(b"sec-fetch-dest", b"image"), (b"sec-fetch-mode", b"navigate")], "fragment"),
        ([*NAVIGATION, (b"x-purpose", b"preview")], "prefetch"),
        ([*NAVIGATION, (b"purpose", b"prefetch")], "prefetch"),
        ([*NAVIGATION, (b"x-moz", b"prefetch")], "prefetch"),
    ],
)
def test_a_page_left_alone_for_how_it_was_asked(asked: list[tuple[bytes, bytes]], reason: str) -> None:
    judged = detect_page(asked, 200, HTML)
    assert (judged.page, judged.inject, judged.reason) == (True, False, reason)
    assert judged.fragment == (reason == "fragment")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([*HTML, (b"cache-control", b"public"), (b"cache-control", b"No-Transform")], "no-transform"),
        ([(b"content-type", b"text/html; charset=ISO-2022-KR")], "charset"),
        ([(b"content-type", b'text/html; charset="iso-2022-jp"')], "charset"),
    ],
)
def test_a_page_left_alone_for_what_it_is(fields: list[tuple[bytes, bytes]], reason: str) -> None:
    judged = detect_page(NAVIGATION, 200, fields)
    assert (judged.page, judged.inject, judged.reason) == (True, False, reason)


def test_two_like_lines_are_one() -> None:
    assert detect_page(NAVIGATION, 200, HTML * 2).inject


@pytest.mark.parametrize("name", sorted(FRAGMENT_FIELDS))
def test_a_frameworks_request_is_for_a_fragment(name: bytes) -> None:
    judged = detect_page([(name, b"")], 200, HTML)
    assert (judged.inject, judged.reason, judged.fragment) == (False, "fragment", True)


@pytest.mark.parametrize("value", sorted(REQUESTED_WITH))
def test_what_frameworks_send_in_x_requested_with(value: bytes) -> None:
    assert detect_page([(b"x-requested-with", value.title())], 200, HTML).fragment


PASSED_ON = [(b"sec-fetch-dest", b"empty"), (b"sec-fetch-mode", b"navigate")]
UPGRADE = [(b"upgrade-insecure-requests", b"1")]


def test_a_navigation_that_a_service_worker_passes_on() -> None:
    judged = detect_page([*PASSED_ON, *UPGRADE], 200, HTML)
    assert (judged.page, judged.inject, judged.needs_document) == (True, True, False)


def test_a_link_with_the_download_attribute() -> None:
    judged = detect_page(PASSED_ON, 200, HTML)
    assert (judged.page, judged.inject, judged.reason) == (False, False, "download")


@pytest.mark.parametrize("purpose", [b"prefetch", b"prefetch;prerender", b"prefetch;anonymous-client-ip"])
@pytest.mark.parametrize("navigation", [NAVIGATION, [*PASSED_ON, *UPGRADE]])
def test_a_document_by_speculation_rules_is_a_page(purpose: bytes, navigation: list[tuple[bytes, bytes]]) -> None:
    judged = detect_page([*navigation, (b"sec-purpose", purpose), (b"purpose", b"prefetch")], 200, HTML)
    assert (judged.page, judged.inject, judged.reason) == (True, True, "")


def test_a_fragment_for_a_cache_that_assembles_pages_must_show_that_it_is_a_document() -> None:
    judged = detect_page([*NAVIGATION, (b"surrogate-capability", b'varnish="ESI/1.0"')], 200, HTML)
    assert (judged.inject, judged.needs_document, judged.accepts_head) == (True, True, True)
    assert not detect_page([(b"surrogate-capability", b'varnish="ESI/1.0"')], 200, HTML).accepts_head


@pytest.mark.parametrize("twice", [b"document", b"Document"])
def test_two_destinations_that_agree_are_one(twice: bytes) -> None:
    assert detect_page([(b"sec-fetch-dest", b"document"), (b"sec-fetch-dest", twice)], 200, HTML).inject


@pytest.mark.parametrize(
    ("lines", "charset"),
    [
        ([b"text/html", b"text/html; charset=UTF-8"], "utf-8"),
        ([b"text/html, charset=utf-8"], None),
        ([b"bogus", b"text/html"], None),
        ([b"text/html; charset=utf-8, text/html; charset=utf-8"], "utf-8"),
        ([b"text/html; charset=utf-8, text/html; charset=koi8-r"], "koi8-r"),
        ([b"text/html; charset=utf-8, text/html"], "utf-8"),
        ([b"text/plain; charset=koi8-r, text/html"], None),
        ([b"text/html; charset=utf-8, */*"], "utf-8"),
        ([b'text/html; a=",text/plain"'], None),
        ([b"text/html,"], None),
        ([b", text/html"], None),
    ],
)
def test_a_list_of_types(lines: list[bytes], charset: str | None) -> None:
    judged = detect_page(NAVIGATION, 200, [(b"content-type", line) for line in lines])
    assert (judged.page, judged.charset) == (True, charset)
    assert may_be_html(b", ".join(lines))

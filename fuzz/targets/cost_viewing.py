"""The cost of a recorded page for those who view it, and of a POST to a listener of the crawler.

An input chooses a place, and what is repeated there (:mod:`fuzz.cost`). A failure is: a POST of 60 KB that takes more
than 50 ms of CPU time, or a page of twice the size whose title, text, difference to another page, or rewriting for the
replay takes three times as long. Times are compared several times before a failure is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from twisted.internet.task import Clock
from twisted.web.server import Site

from fuzz import cost
from fuzz.targets import cost_answers, cost_crawler
from lbcompanion.crawler.admin.line_diff import difference
from lbcompanion.crawler.admin.listener import AdminRequest
from lbcompanion.crawler.replay.addresses import ReplayAddresses
from lbcompanion.crawler.replay.html_rewriting import rewrite_page
from lbcompanion.html.page_title import page_title
from lbcompanion.html.visible_text import page_text, visible_lines
from lbcompanion.web import QuietSite
from tests.support.posted_form import NotingResource, post

#: Twisted reads no longer line.
_LINE_BYTES = 16_000
_TYPES = (b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=a")
_KINDS = ("text/html", "application/xhtml+xml", "text/html; charset=utf-8")
TOKENS = (*cost_crawler.TOKENS, *cost_answers.TOKENS, b"a=b&", b"&", b"--a\r\n", b"=?utf-8?q?a?= ", b";a*{}=b")


@cache
def _site() -> Site:
    return QuietSite(NotingResource(), requestFactory=AdminRequest, reactor=Clock())  # type: ignore[no-untyped-call]


def _content_type(variant: int, body: bytes) -> Callable[[], object]:
    value = (b"", _TYPES[1])[variant % 2] + body.translate(None, b"\r\n\0")
    return lambda: post(_site(), value[:_LINE_BYTES])


def _form(variant: int, body: bytes) -> Callable[[], object]:
    return lambda: post(_site(), _TYPES[variant % 2], body)


def _title(variant: int, body: bytes) -> Callable[[], object]:
    return lambda: page_title(body, _KINDS[variant % 3])


def _text(variant: int, body: bytes) -> Callable[[], object]:
    return lambda: visible_lines(page_text(body, _KINDS[variant % 3]))


def _difference(variant: int, body: bytes) -> Callable[[], object]:
    after = (body[::-1], body.replace(b"a", b"b"), body[len(body) // 2 :] + body)[variant % 3]
    pages = [visible_lines(page_text(page, _KINDS[variant // 3 % 3])) for page in (body, after)]
    return lambda: difference(*pages)


def _rewriting(variant: int, body: bytes) -> Callable[[], object]:
    before = (b"<!DOCTYPE html><body>", b"<style>", b'<p style="', b'<img srcset="', b"<svg>")[variant % 5]
    resolve = ReplayAddresses("T", "utf-8", {}, {})
    return lambda: rewrite_page(before + body, "http://www.example.com/a/b", _KINDS[variant // 5 % 3], resolve)


PLACES: Mapping[str, cost.Place] = {
    "a Content-Type": _content_type,
    "a form": _form,
    "page's title": _title,
    "page's text": _text,
    "page's difference": _difference,
    "page, rewritten": _rewriting,
}


TARGET = cost.target(PLACES, TOKENS)

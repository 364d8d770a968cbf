"""The cost of one message for the crawler: responses of a balancer or a node, notices, pages, style sheets.

An input chooses a place, and what is repeated there (:mod:`fuzz.cost`). A failure is: a message of 60 KB that takes
more than 50 ms of CPU time, or a page of twice the size that takes three times as long. Times are compared several
times before a failure is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fuzz import cost
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisites import style_sheet_links
from lbcompanion.crawler.fetching.site_addresses import archived_address
from lbcompanion.html.requisite_links import page_links
from lbcompanion.settings import SiteSettings
from tests.support.cost_crawler import CSS, FIELDS, MORE, PAGE, SRCSET, CostFetcher, CostIntake
from tests.support.cpu_cost import ELEMENTS
from tests.support.simulated_farm import ORIGIN

TOKENS: tuple[bytes, ...] = (
    *(element.encode() for element in (*ELEMENTS, *MORE, *PAGE, *SRCSET, *CSS)),
    *(b'"a{}":"b",', b'{"notices":[', b'{"token":"{}",', b"\\u0041", b"; Path=/; HttpOnly", b"; Domain=a", b"\n"),
)
_STATUSES = (200, 302, 404, 429, 503, 403)
_TIME = "2026-11-23T21:10:00Z"


@cache
def _fetcher() -> CostFetcher:
    return CostFetcher()


@cache
def _intake() -> CostIntake:
    return CostIntake()


def _value(body: bytes) -> str:
    return body.translate(None, b"\r\n\0").decode("latin-1")


def _field(variant: int, body: bytes) -> Callable[[], object]:
    name, status = FIELDS[variant % len(FIELDS)].lower(), _STATUSES[variant // 16 % len(_STATUSES)]
    more = (("location", "/_lbc/page/token"),) if status == 302 and name != "location" else ()
    value = _value(body)
    return lambda: _fetcher().ask(status, (name, value), *more)


def _lines(variant: int, body: bytes) -> Callable[[], object]:
    name, status = FIELDS[variant % len(FIELDS)].lower(), _STATUSES[variant // 16 % len(_STATUSES)]
    lines = tuple((name, _value(line)) for line in body.split(b"\n"))
    if len(lines) < 2:
        lines = tuple((name, value) for value in _value(body).split(" ")[:2000])
    return lambda: _fetcher().ask(status, *lines)


def _address(variant: int, body: bytes) -> Callable[[], object]:
    value = _value(body).replace(" ", "+")
    texts = (f"{ORIGIN}/{value}", f"http://{value}/", f"{ORIGIN}/?{value}", f"http://{value}@www.example.com/")
    return lambda: archived_address(texts[variant % len(texts)], SiteSettings("main", ORIGIN))


def _delivery(variant: int, body: bytes) -> Callable[[], object]:
    text = body.decode("utf-8", "replace")
    entry: dict[str, Any] = {
        "token": _intake().token, "url": f"{ORIGIN}/", "cookies": {}, "by": "browser", "page_url": f"{ORIGIN}/",
        "viewed_at": _TIME, "noticed_at": _TIME, "visitor": "v",
    }  # fmt: skip
    words = text.split(" ")
    changes: tuple[dict[str, Any], ...] = (
        {"cookies": {f"a{number}": text[:4000] for number in range(14)}},
        {"cookies": {word[:99]: f"n{number % 3}" for number, word in enumerate(words)}},
        {"url": ORIGIN + "/" + text},
        {"page_url": ORIGIN + "/" + text},
        {"page_url": f"http://{text}/"},
        {"visitor": text},
        {"viewed_at": text},
        {"token": text},
    )
    written = json.dumps({"notices": [{**entry, **changes[variant // 4 % len(changes)]}]}, ensure_ascii=False).encode()
    if variant % 4 == 0:
        written = body
    return lambda: _intake().deliver(written)


def _page(variant: int, body: bytes) -> Callable[[], object]:
    before = (b"<!DOCTYPE html><html><head><title>a</title></head><body>", b"", b"<head><style>", b"<p style='")
    whole = before[variant % len(before)] + body
    kind = ("text/html", "application/xhtml+xml", "text/html; charset=utf-16")[variant // 4 % 3]
    return lambda: page_links(whole, "http://www.example.com/dir/page", kind)


def _srcset(variant: int, body: bytes) -> Callable[[], object]:
    quote = b"\"'"[variant % 2 :][:1]
    whole = b"<img srcset=" + quote + body.replace(quote, b"") + quote + b"><img src=b>"
    return lambda: page_links(whole, "http://www.example.com/dir/page", "text/html")


def _style_sheet(variant: int, body: bytes) -> Callable[[], object]:
    requisite = Requisite("http://www.example.com/a.css", "text/css", b"", body)
    return lambda: style_sheet_links(requisite, ("utf-8", "", "shift_jis")[variant % 3])


PLACES: Mapping[str, cost.Place] = {
    "a field": _field,
    "many lines": _lines,
    "an address": _address,
    "a delivery": _delivery,
    "page": _page,
    "page with a srcset": _srcset,
    "page's style sheet": _style_sheet,
}


TARGET = cost.target(PLACES, TOKENS)

"""The cost of one message for the crawler: 60 KB of whatever a visitor, a page, a balancer or a hostile node repeats
cost little CPU time on the event loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisites import style_sheet_links
from lbcompanion.crawler.fetching.site_addresses import archived_address
from lbcompanion.html.requisite_links import page_links
from lbcompanion.http1.freshness import FIELDS as FRESHNESS_FIELDS
from lbcompanion.http1.freshness import StoredHead
from lbcompanion.settings import SiteSettings
from tests.support.cost_crawler import CSS, FIELDS, MORE, NOW, PAGE, SRCSET, CostFetcher, CostIntake
from tests.support.cpu_cost import ELEMENTS, MESSAGE_BYTES, check_cost, check_growth, repeated
from tests.support.simulated_farm import ORIGIN

pytestmark = pytest.mark.slow


def values() -> Iterator[tuple[str, str]]:
    for element in (*ELEMENTS, *MORE):
        for separator in ("", "; "):
            value = repeated(element, separator, MESSAGE_BYTES).decode("utf-8", "replace")
            yield f"{element!r} joined by {separator!r}", value


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_response(name: str) -> None:
    asked = CostFetcher()
    for what, value in values():
        for status in {"Location": (302,), "Set-Cookie": (200, 404, 302), "Retry-After": (429,)}.get(name, (200,)):
            fields = ((name.lower(), value),)
            more = (("location", "/_lbc/page/token"),) if status == 302 and name == "Set-Cookie" else ()
            check_cost(f"{status}, {name}: {what}", lambda: asked.ask(status, *fields, *more))  # noqa: B023


@pytest.mark.parametrize("element", [*ELEMENTS, *MORE])
def test_many_lines_of_a_response(element: str) -> None:
    asked = CostFetcher()
    count = MESSAGE_BYTES // (len(element) + len("Set-Cookie: \r\n"))
    for name in ("set-cookie", "retry-after", "lbc-page-url", "x-whatever"):
        lines = tuple((name, element.format(number)) for number in range(count))
        for status in (200, 404, 302):
            location = (("location", "/_lbc/page/token"),)
            check_cost(f"{count} lines {name}: {element}", lambda: asked.ask(status, *lines, *location))  # noqa: B023


@pytest.mark.parametrize("element", PAGE)
def test_links_of_a_page(element: str) -> None:
    """Pages are read in another thread; it holds the interpreter all the same."""

    def page(size: int) -> Any:
        body = b"<!DOCTYPE html><html><head><title>a</title></head><body>" + repeated(element, "", size)
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"{element!r} in a page", page, 40_000)


@pytest.mark.parametrize("element", ["a", "a/", "../", "%2e/", "\xe9", "&#97;", "<base href=/{}>"])
def test_a_long_base(element: str) -> None:
    def page(size: int) -> Any:
        links = b"".join(b"<img src=%d>" % number for number in range(size // 30))
        body = b'<base href="/' + repeated(element, "", size // 2) + b'">' + links
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"a base of {element!r}", page, 40_000)


@pytest.mark.parametrize("name", sorted(FRESHNESS_FIELDS))
def test_a_field_of_a_file(name: str) -> None:
    def judge(value: str) -> None:
        head = StoredHead(200, ((name, value),), NOW, NOW)
        head.is_fresh(NOW)
        head.may_be_stored()
        head.conditions()
        head.freshened(head)

    for what, value in values():
        check_cost(f"{name}: {what}", lambda: judge(value))  # noqa: B023


@pytest.mark.parametrize("element", SRCSET)
def test_a_srcset(element: str) -> None:
    def page(size: int) -> Any:
        body = b'<img srcset="' + repeated(element, "", size) + b'"><img src=b>'
        return lambda: page_links(body, "http://www.example.com/dir/page", "text/html")

    check_growth(f"{element!r} in a srcset", page, 40_000)


@pytest.mark.parametrize("element", CSS)
def test_a_style_sheet(element: str) -> None:
    def sheet(size: int) -> Any:
        body = b"".join(element.replace("{}", str(number)).encode() for number in range(size // len(element)))
        requisite = Requisite("http://www.example.com/a.css", "text/css", b"", body)
        return lambda: style_sheet_links(requisite, "utf-8")

    check_growth(f"{element!r} in a style sheet", sheet, 40_000)


def test_a_page_address() -> None:
    site = SiteSettings("main", ORIGIN)
    for what, value in values():
        for text in (f"{ORIGIN}/{value}", f"http://{value}/", f"{ORIGIN}/?{value}", f"http://{value}@www.example.com/"):
            check_cost(f"an address with {what}", lambda: archived_address(text.replace(" ", "+"), site))  # noqa: B023


def test_a_delivery() -> None:
    delivered = CostIntake()
    entry = {
        "token": delivered.token, "url": f"{ORIGIN}/", "cookies": {}, "by": "browser", "page_url": f"{ORIGIN}/",
        "viewed_at": "2026-11-23T21:10:00Z", "noticed_at": "2026-11-23T21:10:00Z", "visitor": "v",
    }  # fmt: skip
    bodies = [b"[" * MESSAGE_BYTES, b'{"a":' * 12_000, b'"' + b"\\u0041" * 9_000 + b'"', b"1" * MESSAGE_BYTES]
    bodies += [b"\xff" * MESSAGE_BYTES, json.dumps({"notices": [entry] * 200}).encode()]
    bodies.append(json.dumps({"notices": [], "lost": [{"token": delivered.token, "reason": "x"}] * 600}).encode())
    for element in (*ELEMENTS, *MORE):
        many = [element.format(number) for number in range(4000)]
        url = "".join(many)[:MESSAGE_BYTES].replace(" ", "+").replace("\t", "+")
        cookies = {name[:99]: "http://x" for name in dict.fromkeys(many[:1000])}
        for change in (
            {"cookies": cookies},
            {"cookies": {f"a{number}": url[:4000] for number in range(14)}},
            {"url": f"{ORIGIN}/{url}"},
            {"page_url": f"{ORIGIN}/{url}"},
            {"page_url": f"http://{url}/"},
        ):
            bodies.append(json.dumps({"notices": [{**entry, **change}]}, ensure_ascii=False).encode())
    for body in bodies:
        check_cost(f"a delivery that begins with {body[:300]!r}", lambda: delivered.deliver(body))  # noqa: B023
    assert delivered.statuses == {202, 400}

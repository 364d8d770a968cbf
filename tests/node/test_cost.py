"""The cost of one message for the node: 60 KB of whatever a visitor or the application repeats cost little CPU time,
and leave little memory behind."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from lbcompanion.settings import LimitsTable, NodeCrawlerTable
from tests.support.cost_node import ANSWER_FIELDS, MARKUP, OWN_FIELDS, REQUEST_FIELDS, TARGETS, CostNode
from tests.support.cpu_cost import ELEMENTS, MESSAGE_BYTES, check_cost, check_growth, lists, repeated
from tests.support.in_memory_node import html, request

pytestmark = pytest.mark.slow

_SEGMENTS = (
    "/", "/a", "/.", "/..", "//", "/%2f", "/%2e", ";a=b", "/a;b", "%61", "%", "%c3", "&a={}", "\\", "\xff", "/\xff",
)  # fmt: skip


@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_a_field_of_a_request(name: str) -> None:
    asked = CostNode(crawler=NodeCrawlerTable(notices="server"))
    for target in TARGETS if name in OWN_FIELDS else TARGETS[:1]:
        for what, value in lists():
            raw = request(target.encode(), name.encode() + b": " + value)
            check_cost(f"{target}, {name}: {what}", lambda raw=raw: asked.ask(raw))  # type: ignore[misc]


def _heads() -> Iterator[tuple[str, bytes]]:
    for what, value in lists():
        target = value.replace(b" ", b"+").replace(b"\t", b"+")
        yield f"Host: {what}", request(host=value)
        yield f"path: {what}", request(b"/" + target)
        yield f"query: {what}", request(b"/?" + target)
    for segment in _SEGMENTS:
        yield f"path: {segment!r}", request(b"/" + repeated(segment, "", MESSAGE_BYTES))
        yield f"query: {segment!r}", request(b"/?" + repeated(segment, "", MESSAGE_BYTES))
    for line in ("A: b", "Cookie: a{}=b", "X-Forwarded-For: 1.2.3.4", "Accept-Encoding: *", "A{}: b", "Forwarded: a=b"):
        count = MESSAGE_BYTES // (len(line) + 4)
        yield f"lines: {line!r}", request(b"/p", *(line.format(number).encode() for number in range(count)))


def test_hosts_targets_and_many_lines() -> None:
    asked = CostNode(limits=LimitsTable(header_lines=20_000))
    for what, raw in _heads():
        check_cost(what, lambda raw=raw: asked.ask(raw))  # type: ignore[misc]


@pytest.mark.parametrize("name", ANSWER_FIELDS)
def test_a_field_of_an_answer(name: str) -> None:
    asked = CostNode()
    for what, value in lists():
        asked.answer = html(b"<p>a", name.encode() + b": " + value.replace(b"\t", b" "))
        check_cost(f"{name}: {what}", lambda: asked.ask(request(b"/p")))


@pytest.mark.parametrize("arrival", ["whole", "pieces"])
@pytest.mark.parametrize("element", MARKUP)
def test_markup_of_a_page(element: str, arrival: str) -> None:
    asked = CostNode()

    def page(size: int) -> Callable[[], object]:
        body = b"<!DOCTYPE html><html><head><title>a</title></head><body>" + repeated(element, "", size)
        answer = html(body)
        if arrival == "pieces":
            pieces = [body[at : at + 997] for at in range(0, len(body), 997)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            answer = html(b"", b"Transfer-Encoding: chunked", length=False) + chunks + b"0\r\n\r\n"

        def ask() -> object:
            asked.answer = answer
            return asked.ask(request(b"/p"))

        return ask

    check_growth(f"{element!r} in a page", page, 250_000)
    check_cost(f"{element!r} in a page of 60 KB", page(MESSAGE_BYTES))


def test_notices() -> None:
    asked = CostNode()
    entry = {"token": asked.node.tokens.mint(), "url": "http://www.example.com/", "viewed_at": "2026-01-01T00:00:00Z"}
    bodies = [b"[" * 16_000, b'{"a":' * 3_000, b'"' + b"\\u0041" * 2_600 + b'"', b"1" * 16_000, b"\xff" * 16_000]
    for element in ELEMENTS:
        listed = [element.format(number) for number in range(4000)]
        many = dict.fromkeys(listed[: 12_000 // (len(element) + 12)], "http://x")
        bodies += [
            json.dumps({**entry, "cookies": many}).encode(),
            json.dumps({**entry, "cookies": {"SRV": "".join(listed)[:15_000]}}).encode(),
            json.dumps({**entry, "cookies": {}, "url": "http://www.example.com/" + "".join(listed)[:15_000]}).encode(),
        ]
    for body in bodies:
        raw = request(b"/_lbc/notice", b"Content-Length: %d" % len(body), method=b"POST") + body
        check_cost(f"a notice that begins with {body[:300]!r}", lambda raw=raw: asked.ask(raw))  # type: ignore[misc]


def test_memory_that_requests_leave_behind() -> None:
    """Requests of 60 KB, each with another value, in all fields in turn. 10,000 of them may leave 32 MB."""
    asked = CostNode()
    fields = [name for name in REQUEST_FIELDS if name not in {"Transfer-Encoding", "Expect", "Upgrade"}]
    filler = b"a" * (MESSAGE_BYTES - 20)

    def flood(count: int) -> None:
        for number in range(count):
            line = fields[number % len(fields)].encode() + b": %08d=" % number + filler
            long_target = b"/%d/" % number + filler[:-1000]
            asked.ask(request(b"/%d" % number, line) if number % 3 else request(long_target))

    flood(300)
    tracemalloc.start()
    try:
        flood(4_000)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 32_000_000 * 4_000 / 10_000, held

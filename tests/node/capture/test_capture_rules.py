"""Which requests' answers are captured."""

from __future__ import annotations

import pytest

from lbcompanion.settings import CaptureTable
from tests.support.in_memory_node import PAGE, InMemoryNode, without_tag

FORCED = {"force_parameter": "lbc=record"}


def test_what_is_not_captured_is_asked_for_as_the_visitor_did() -> None:
    companion = InMemoryNode()
    companion.get(b"/a.png", b"Accept-Encoding: br", b"Sec-Fetch-Dest: image")
    assert companion.application.received_requests[0].get(b"accept-encoding") == b"br"


@pytest.mark.parametrize(
    ("capture", "target", "fields", "method", "captured"),
    [
        ({}, b"/", (), b"GET", True),
        ({}, b"/", (), b"POST", True),
        ({}, b"/", (), b"PUT", False),
        ({"methods": ("GET", "PUT")}, b"/", (), b"PUT", True),
        ({"methods": ("GET", "PUT")}, b"/", (), b"POST", False),
        ({"enabled": False}, b"/", (), b"GET", False),
        ({"include": ("/a/**",)}, b"/a/b/c", (), b"GET", True),
        ({"include": ("/a/**",)}, b"/b", (), b"GET", False),
        ({"include": ("/a/*",)}, b"/a/b/c", (), b"GET", False),
        ({"exclude": ("/a*", "/b/?.html")}, b"/b/c.html", (), b"GET", False),
        ({"exclude": ("/a*", "/b/?.html")}, b"/b/cd.html", (), b"GET", True),
        ({"include": ()}, b"/x?y=1&lbc=record", (), b"GET", False),
        ({"include": (), **FORCED}, b"/x?y=1&lbc=record", (), b"GET", True),
        ({"include": (), **FORCED}, b"/x?lbc=recording", (), b"GET", False),
        ({"exclude": ("/**",), **FORCED}, b"/x?y=1&lbc=record", (), b"GET", False),
        (FORCED, b"/x?lbc=record", (b"Cookie: WRUID=0",), b"GET", False),
        ({"exclude": ("/account/**",)}, b"/a/..//%41ccount;v=1/x", (), b"GET", False),
        ({"include": ("/account/**",)}, b"/a/..//%61ccount/x", (), b"GET", True),
        ({"include": ("/account/**",)}, b"/ACCOUNT/x", (), b"GET", False),
        ({}, b"/", (b"Cookie: x=1; WRUID=0",), b"GET", False),
        ({"visitor_cookie": "shop"}, b"/", (b"Cookie: WRUID=1; shop=0",), b"GET", False),
        ({"visitor_cookie": "shop"}, b"/", (b"Cookie: WRUID=0",), b"GET", True),
        ({}, b"/", (b"Cookie: WRUID=1; WRUID=0",), b"GET", False),
        ({}, b"/", (b"Cookie: WRUID=1", b'Cookie: a=b;WRUID = "0" ;c=d'), b"GET", False),
        ({}, b"/", (b'Cookie: x="WRUID=0"',), b"GET", True),
        ({}, b"/", (b"Cookie: x=WRUID=0",), b"GET", True),
        ({}, b"/", (b"Cookie: WRUID=01",), b"GET", True),
        ({}, b"/", (b"Cookie: xWRUID=0",), b"GET", True),
        ({}, b"/", (b"Sec-Fetch-Dest: image",), b"GET", False),
        ({}, b"/", (b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: navigate"), b"GET", True),
        ({}, b"/", (b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Mode: cors"), b"GET", False),
        ({}, b"/", (b"X-Requested-With: XMLHttpRequest",), b"GET", False),
        ({}, b"/", (b"Sec-Purpose: prefetch",), b"GET", False),
    ],
)
def test_by_request(
    capture: dict[str, object], target: bytes, fields: tuple[bytes, ...], method: bytes, captured: bool
) -> None:
    companion = InMemoryNode(capture=CaptureTable(**capture))  # type: ignore[arg-type]
    answer = companion.get(target, *fields, method=method)
    assert without_tag(answer.body) == PAGE
    assert (answer.body != PAGE) is captured
    assert len(companion.captured) == captured
    assert companion.copies.pending == 0


def test_a_page_that_no_rule_can_compare_is_not_captured() -> None:
    companion = InMemoryNode(capture=CaptureTable(exclude=("/account/**",)))
    companion.get(b"/" + b"a" * 9000)
    assert companion.counters.not_captured["path excluded"] == 1


@pytest.mark.parametrize(
    ("capture", "target", "fields", "reason"),
    [
        ({"enabled": False}, b"/", (), "capture is off"),
        ({"methods": ("POST",)}, b"/", (), "method"),
        ({"exclude": ("/**",)}, b"/", (), "path excluded"),
        ({"include": ("/a",)}, b"/", (), "path not included"),
        ({}, b"/", (b"Cookie: WRUID=0",), "visitor is not recorded"),
        ({}, b"/", (b"Sec-Fetch-Dest: image",), "not a document"),
    ],
)
def test_a_reason_that_the_request_gives_is_counted(
    capture: dict[str, object], target: bytes, fields: tuple[bytes, ...], reason: str
) -> None:
    companion = InMemoryNode(capture=CaptureTable(**capture))  # type: ignore[arg-type]
    companion.get(target, *fields)
    assert companion.counters.not_captured == {reason: 1}
    assert [decision.not_captured for decision in companion.counters.recent] == [reason]
    companion.application.answers(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx")
    companion.get(target, *fields)
    assert companion.counters.not_captured == {reason: 1}, "only HTML is counted"

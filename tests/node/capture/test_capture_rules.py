"""Which requests' answers are captured."""

from __future__ import annotations

import pytest

from lbcompanion.settings import CaptureTable
from tests.support.in_memory_node import PAGE, InMemoryNode, without_tag


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
        ({"enabled": False}, b"/", (), b"GET", False),
        ({"include": ("/a/**",)}, b"/a/b/c", (), b"GET", True),
        ({"include": ("/a/**",)}, b"/b", (), b"GET", False),
        ({"include": ("/a/*",)}, b"/a/b/c", (), b"GET", False),
        ({"exclude": ("/a*", "/b/?.html")}, b"/b/c.html", (), b"GET", False),
        ({"exclude": ("/a*", "/b/?.html")}, b"/b/cd.html", (), b"GET", True),
        ({"exclude": ("/**",)}, b"/x?y=1&lbc=record", (), b"GET", True),
        ({"exclude": ("/**",)}, b"/x?lbc=recording", (), b"GET", False),
        ({}, b"/", (b"Cookie: x=1; WRUID=0",), b"GET", False),
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

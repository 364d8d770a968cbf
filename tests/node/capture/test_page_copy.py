"""The end of a copy: what is masked never reaches the store, and each copy that is lost has a reason."""

from __future__ import annotations

from typing import Any

import pytest

from lbcompanion.html.masks import Masks
from lbcompanion.html.page_detection import Eligibility
from lbcompanion.http1.heads import ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.capture.page_copy import CaptureLimits, CopyFacts, finish_copy
from tests.support.in_memory_node import InMemoryNode

HEAD = ResponseHead.from_fields(11, 200, b"OK", [(b"content-type", b"text/html"), (b"set-cookie", b"a=b")])
ELIGIBLE = Eligibility(page=True, inject=True, reason="", charset="utf-8")


def finish(node: InMemoryNode, page: bytes, **limits: Any) -> str:
    token = node.copies.mint_token()
    facts = CopyFacts(token, "http://a/", "GET", HEAD, b"text/html", 1.0, ELIGIBLE, b"cookie=1")
    capture_limits = CaptureLimits(
        **{
            "max_page_bytes": 1000,
            "capturing_bytes": 1000,
            "expansion_ratio": 10,
            "exclude_blocks": True,
            "masks": None,
            "on_captured": None,
            **limits,
        }
    )
    finish_copy(facts, page, capture_limits=capture_limits, copies=node.copies, counters=node.counters)
    assert node.copies.pending == 0
    return token


def stored(node: InMemoryNode, token: str) -> Page | None:
    found: list[Any] = []
    node.store.peek(token).addCallback(found.append)
    return found[0] if isinstance(found[0], Page) else None


def test_a_copy_has_no_masked_part_and_no_cookie() -> None:
    node = InMemoryNode()
    token = finish(node, b"<p>a<!-- lbc:exclude -->b<!-- /lbc:exclude --><i class=x>c</i>", masks=Masks((".x",)))
    page = stored(node, token)
    assert page is not None
    assert b"b" not in page.body.replace(b"lbc", b"").replace(b"/b", b"")
    assert b">c<" not in page.body
    assert b"a=b" not in page.head
    assert b"Lbc-Removed" in page.head


def test_a_copy_that_cannot_be_masked_is_lost_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    node = InMemoryNode()

    def fail(*arguments: object, **named: object) -> bytes:
        raise ValueError

    monkeypatch.setattr("lbcompanion.node.capture.page_copy.redact", fail)
    assert stored(node, finish(node, b"<p>secret")) is None
    assert node.counters.not_captured == {"masks or excluded blocks could not be taken out": 1}
    assert node.counters.failed_open == {"copy: ValueError": 1}


def test_a_head_that_cannot_be_kept_does_not_cost_the_copy() -> None:
    node = InMemoryNode()

    def fail(head: ResponseHead) -> bytes:
        raise ValueError

    page = stored(node, finish(node, b"<p>a", kept_head=fail))
    assert page is not None
    assert page.head == b""
    assert node.counters.failed_open == {"copy's head: ValueError": 1}


def test_the_page_and_the_cookie_are_handed_on_once_it_is_stored() -> None:
    node = InMemoryNode()
    got: list[tuple[Page, bytes]] = []
    finish(node, b"<p>a", on_captured=lambda page, cookie: got.append((page, cookie)))
    assert [(page.body, cookie) for page, cookie in got] == [(b"<p>a", b"cookie=1")]

    def fail(page: Page, cookie: bytes) -> None:
        raise ValueError

    assert stored(node, finish(node, b"<p>a", on_captured=fail)) is not None
    assert node.counters.failed_open == {"notice: ValueError": 1}

"""The debug page as HTML and as JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from lbcompanion.node.endpoints.debug_page import render, wants_html
from lbcompanion.settings import CaptureTable
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import PAGE, InMemoryNode, html
from tests.support.live_html import Live


def browse(companion: InMemoryNode, *query: tuple[str, str]) -> Any:
    return companion.debug(f"?{urlencode(query)}", b"Accept: text/html,*/*;q=0.8")


def captured(body: bytes = PAGE, *fields: bytes, **tables: Any) -> tuple[InMemoryNode, str]:
    companion = InMemoryNode(**tables)
    companion.application.answers(html(body, *fields))
    companion.get(b"/shop?q=1")
    return companion, companion.page.token


def test_a_browser_gets_html_and_a_program_json() -> None:
    companion, token = captured()
    told = browse(companion, ("token", token), ("url", "/x"))
    assert told.get(b"content-type") == b"text/html; charset=utf-8"
    assert told.get(b"cache-control") == b"no-store"
    assert told.all(b"content-security-policy")[0].startswith(b"sandbox allow-forms; default-src 'none'")
    assert len(told.all(b"content-security-policy")) == 1
    assert SECRET not in told.body
    assert token.encode() not in told.body
    assert companion.get(b"/_lbc/debug", b"Accept: text/html").status == 403
    assert not wants_html(b"application/json")


def test_page_and_copy_side_by_side_and_never_live() -> None:
    evil = (
        b"<!DOCTYPE html><html><head></head><body>\"'></iframe><script>1</script><input type=password value=s></body>"
    )
    companion, token = captured(evil)
    live = Live()
    live.feed(browse(companion, ("token", token)).body.decode())
    assert live.found == []
    shown, copy = live.frames
    assert copy == evil.decode().replace("value=s", 'value=""')
    assert "data-lbc-token" in shown
    assert "data-lbc-token" not in copy
    assert token not in shown


def test_what_a_page_or_a_caller_says_is_plain_text() -> None:
    companion = InMemoryNode(capture=CaptureTable(exclude=("/<script>",)))
    live = Live()
    live.feed(browse(companion, ("url", "/<script>"), ("cookie", "<img>"), ("answer", "X: <script>")).body.decode())
    assert live.found == []


def test_next_to_nothing_to_tell() -> None:
    said = {"node": "n1", "caller": {}, "counted": {"a": {}}, "recent": [], "settings": {"b": [], "c": ["x", "y"]}}
    assert b"none" in render(said)

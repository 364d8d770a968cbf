"""Input that is held back is joined only when it is read, and forwarded whole after an internal error."""

from __future__ import annotations

import re
from time import process_time
from typing import Any

import pytest

from lbcompanion.html import body_end, in_head, utf16
from lbcompanion.html.held_input import HeldInput, joined
from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoint, InsertionPoints
from tests.support.html_fragments import BOTTOM, TOP

ANCHOR = InsertionPoints(InsertionPoint(re.compile(b"<main>"), True), None)


def test_a_short_token_is_read_again_with_each_piece() -> None:
    held = HeldInput()
    held.keep(b"<a ", 0, 3)
    assert held.add(b"b", False) == b"<a b"


def test_a_long_token_is_read_again_only_where_it_may_end() -> None:
    held = HeldInput()
    start = b"<a b='" + b"x" * 5000
    held.keep(start, 0, len(start))
    assert held.add(b"y", False) is None
    assert len(held) == len(start) + 1
    assert joined(held.mark()) == start + b"y"
    assert held.add(b"'>z", False) == start + b"y'>z"
    held.keep(start, 0, len(start))
    assert held.add(b"", True) == start


def test_a_mark_stands_for_what_was_held() -> None:
    held = HeldInput()
    start = b"<a b='" + b"x" * 5000
    held.keep(start, 0, len(start))
    mark = held.mark()
    held.add(b"y", False)
    held.add(b"'>", False)
    held.keep(b"", 0, 0)
    assert joined(mark) == start


def code_units(page: bytes) -> bytes:
    return b"\xff\xfe" + page.decode().encode("utf-16-le")


PAGES: dict[str, tuple[bytes, bytes, dict[str, Any]]] = {
    "skip_if": (b"<html><head></head><body>", b"<p>text</p>", {"skip_if": re.compile(b"none")}),
    "an anchor": (b"<html><head></head><body>", b"<p>text</p>", {"insertion_points": ANCHOR}),
    "skip_if in UTF-16": (b"<html><head></head><body>", b"<p>text</p>", {"skip_if": re.compile(b"none")}),
    "a long tag in the body": (b"<html><head></head><body><a b='", b"x> ", {}),
    "a long tag in the head": (b"<html><head><link b='", b"x> ", {}),
    "a long tag before the head": (b"<html b='", b"x> ", {}),
    "a long comment": (b"<html><!--", b"x> ", {}),
    "a long head": (b"<html><head>", b"<script>http-equiv=</script>", {}),
    "a long script": (b"<html><head><script>", b"http-equiv=<", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PAGES)
def test_time_is_linear_in_the_number_of_pieces(kind: str) -> None:
    start, piece, settings = PAGES[kind]
    piece = piece * (200 // len(piece))

    def used(count: int) -> float:
        injector = Injector(TOP, BOTTOM, top_at_head_end=True, limit_bytes=1 << 30, **settings)
        injector.feed(code_units(start) if "UTF-16" in kind else start)
        chunk = piece.decode().encode("utf-16-le") if "UTF-16" in kind else piece
        before = process_time()
        for _ in range(count):
            injector.feed(chunk)
        return process_time() - before

    used(500)
    # Four times the pieces; a square would be 16 times the time.
    assert used(20000) < 9 * used(5000) + 0.05


class InternalError(Exception):
    pass


@pytest.mark.parametrize("calls", range(6))
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (in_head.HeadReader, "_read_token"),
        (body_end.BodyEndInserter, "_read_token"),
        (HeldInput, "keep"),
        (HeldInput, "add"),
        (utf16.Utf16Adapter, "_with_page_bytes"),
    ],
)
@pytest.mark.parametrize("wide", [False, True])
def test_an_error_at_any_time_loses_no_byte(
    owner: type, name: str, calls: int, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (
        b"<!doctype html><html><head><link a='" + b"x" * 9000 + b"'></head><body><p b='" + b"y> " * 3000 + b"'></body>z"
    )
    snippets = [TOP, BOTTOM]
    if wide:
        page = code_units(page)
        snippets = [one.decode().encode("utf-16-le") for one in snippets]
    injector = Injector(TOP, BOTTOM, top_at_head_end=True)
    pieces = [page[at : at + 700] for at in range(0, len(page), 700)]
    out = b"".join(map(injector.feed, pieces[: len(pieces) // 2]))
    original = getattr(owner, name)
    left = [calls]

    def failing(self: Any, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise InternalError
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, failing)
    out += b"".join(map(injector.feed, pieces[len(pieces) // 2 :])) + injector.finish()
    for snippet in snippets:
        out = out.replace(snippet, b"")
    assert out == page
    assert injector.refusal in (None, Refusal.FAILED)

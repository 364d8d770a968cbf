"""Bytes flow on; of a head and of a body's end, 16 KiB are held back at most."""

from __future__ import annotations

from lbcompanion.html.body_end import MAX_HELD_BYTES
from lbcompanion.html.inject import Injector
from tests.support.html_fragments import BOTTOM, TOP
from tests.support.injecting import run


def test_bytes_flow_on() -> None:
    injector = Injector(TOP, BOTTOM, charset_known=True)
    assert injector.feed(b"<!doctype html><html><he") == b"<!doctype html><html>"
    assert injector.feed(b"ad><title>x</title>") == b"<head>"
    assert injector.feed(b"</head><body>first") == TOP + b"<title>x</title></head><body>first"
    assert injector.feed(b"<p>second</p>") == b"<p>second</p>"
    assert injector.feed(b"<!-- a comment of some length") == b"<!-- a comment of"
    assert injector.feed(b" goes on --></bo") == b" some length goes on -->"
    assert injector.feed(b"dy> ") == b""
    assert injector.finish() == BOTTOM + b"</body> "


def test_a_body_end_is_held_back_for_16_kib_at_most() -> None:
    start = b"<html><head></head><body>"
    filler = b"<p>x</p>" * (MAX_HELD_BYTES // 8 + 1)
    page = start + b"</body>" + filler + b"</body>"
    expected = start[:12] + TOP + start[12:] + BOTTOM + b"</body>" + filler + b"</body>"
    assert run(page)[0] == expected
    assert run(page, list(range(1, len(page), 777)))[0] == expected

"""Pages that are held back whole."""

from __future__ import annotations

import re

from lbcompanion.html.page_detection import Refusal
from tests.support.html_fragments import page_of
from tests.support.injecting import filled, run


class TestSkipIf:
    def test_a_match_anywhere(self) -> None:
        page = b"<html><head></head><body><!-- no-record --></body></html>"
        out, injector = run(page, [10, 30], skip_if=re.compile(b"no-.ecord"))
        assert (out, injector.refusal) == (page, Refusal.SKIPPED)

    def test_no_match(self) -> None:
        expected = "<html><head>{T}</head><body>{B}</body></html>"
        assert run(page_of(expected), [10, 30], skip_if=re.compile(b"no-.ecord"))[0] == filled(expected)

    def test_too_large_to_tell(self) -> None:
        page = b"<html><head></head><body></body></html>"
        out, injector = run(page, [10, 30], skip_if=re.compile(b"x"), limit_bytes=20)
        assert (out, injector.refusal) == (page, Refusal.LARGE)

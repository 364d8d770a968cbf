"""Where a head begins, and which pages have none."""

from __future__ import annotations

import pytest

from lbcompanion.html.page_detection import Refusal
from tests.support.injecting import run


class TestFragment:
    @pytest.mark.parametrize("page", [b"<p>x</p>", b"<title>x</title>", b"text", b"<head></head>"])
    def test_neither_doctype_nor_html(self, page: bytes) -> None:
        out, injector = run(page, needs_document=True)
        assert (out, injector.refusal) == (page, Refusal.FRAGMENT)

    @pytest.mark.parametrize("page", [b"<!doctype html><p>x</p>", b"<html><p>x"])
    def test_either(self, page: bytes) -> None:
        assert run(page, needs_document=True)[1].inserted

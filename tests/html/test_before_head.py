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

    @pytest.mark.parametrize("space", [b"", b"\n<!-- c -->"])
    @pytest.mark.parametrize("start", [b"<head>", b"<TITLE>x</title>", b"<meta name=a>", b"<base href=/>", b"<body a>"])
    def test_what_only_documents_begin_with_is_enough_for_a_navigation(self, start: bytes, space: bytes) -> None:
        assert run(space + start + b"<p>x", needs_document=True, accepts_head=True)[1].inserted
        assert not run(space + start + b"<p>x", needs_document=True)[1].inserted

    @pytest.mark.parametrize(
        "start", [b"<li>", b"<style>a</style>", b"<script>a</script>", b"<link>", b"<header>", b"a"]
    )
    def test_parts_of_pages_begin_with_anything_else(self, start: bytes) -> None:
        _, injector = run(start + b"<title>x</title>", needs_document=True, accepts_head=True)
        assert (injector.inserted, injector.refusal) == (False, Refusal.FRAGMENT)

    @pytest.mark.parametrize("page", [b"<!doctype html><p>x</p>", b"<html><p>x"])
    def test_either(self, page: bytes) -> None:
        assert run(page, needs_document=True)[1].inserted

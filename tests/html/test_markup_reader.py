"""The constructs that the markup reader tracks, and where it stops."""

from __future__ import annotations

import pytest

from lbcompanion.html.markup_reader import MarkupReader


def reader_after(page: bytes, xhtml: bool = False) -> MarkupReader:
    """A reader that has read this beginning of a page, byte by byte."""
    reader = MarkupReader(xhtml)
    for end in range(1, len(page) + 1):
        reader.read(page[:end], at_end=False)
    return reader


@pytest.mark.parametrize(
    ("page", "nested", "in_text"),
    [
        (b"<p>text</p>", False, False),
        (b"<!-- x", True, True),
        (b"<!-- x -->", False, False),
        (b"<script>x", True, True),
        (b"<script><!-- <script> </script> x", True, True),
        (b"<textarea></p>", True, True),
        (b"<template><p>", True, False),
        (b"<template></template>", False, False),
        (b"<svg><![CDATA[ x", True, True),
        (b"<svg><p>", False, False),
    ],
)
def test_what_is_open(page: bytes, nested: bool, in_text: bool) -> None:
    reader = reader_after(page)
    assert (reader.is_nested, reader.in_text) == (nested, in_text)


@pytest.mark.parametrize("page", [b"<?x > <svg> ?>", b"<![CDATA[ <svg> ]]>", b"<!-- <svg> -- > -->"])
def test_what_is_text_in_xml(page: bytes) -> None:
    assert not reader_after(page, xhtml=True).is_nested


@pytest.mark.parametrize("page", [b"<plaintext>", b"<math><annotation-xml>", b"<svg><desc><b><i></b>"])
def test_where_it_stops(page: bytes) -> None:
    assert reader_after(page).stopped

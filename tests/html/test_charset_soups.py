"""Soup of bytes and of tags through the prescan: no crash, no hang."""

from __future__ import annotations

from hypothesis import given

from lbcompanion.html import charset
from tests.support.html_fragments import PAGES


@given(PAGES)
def test_prescan(page: bytes) -> None:
    found = charset.prescan(page)
    if found is None:
        return
    assert 0 <= found.start < found.end <= charset.PRESCAN_BYTES
    assert page[found.start : found.start + 5].lower() == b"<meta"
    assert charset.page_charset(b"", page) == (charset.bom_charset(page) or found.name)
    assert charset.prescan(page[: found.end]) == found

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from lbcompanion.crawler.archive.warc_reader import StoredRecord
from lbcompanion.crawler.replay.documents import Replayed, placeholder, small_placeholder
from lbcompanion.crawler.replay.recorded_files import FileRecord, Recorded


def recorded(*urls: str) -> Recorded:
    files = {url: FileRecord(0, url, "response", "image/png", "", 0) for url in urls}
    return Recorded("", "f", StoredRecord(0, 0, "response", {}), files)


def replayed(*urls: str, **more: object) -> Replayed:
    return Replayed("T", "http://s/", {"content_type": "text/html"}, recorded(*urls), **more)  # type: ignore[arg-type]


def test_a_style_sheet_is_decoded_by_its_page_and_written_in_utf_8() -> None:
    each = replayed("http://s/a/%E4")
    css = "a{b:url(\xe4#c) url(x)} @import 'y'; p{q:url(DATA:x)} /* \xe4 */".encode("latin-1")
    found = each.style_sheet(css, "http://s/a/b.css", "text/css", "windows-1252").decode()
    assert found.startswith(
        'a{b:url("about:invalid") url("about:invalid")} @import "about:invalid";'
    )  # a path is UTF-8
    assert found.endswith('p{q:url("DATA:x")} /* \xe4 */')
    each = replayed("http://s/a/%C3%A4")
    assert "/replay/T/file?url=http%3A%2F%2Fs%2Fa%2F%25C3%25A4#c" in each.style_sheet(
        css, "http://s/a/b.css", "text/css", "windows-1252"
    ).decode()  # fmt: skip


def test_a_drawing_in_a_frame_is_rewritten() -> None:
    drawing = b'<?xml version="1.0"?><svg><script>x</script><image href="i"/><a href="/x">y</a></svg>'
    page = replayed("http://s/i").drawing(drawing, "http://s/v.svg").decode()
    assert page.startswith("<!doctype html>")
    assert page.endswith(
        '<svg><script></script><image href="/replay/T/file?url=http%3A%2F%2Fs%2Fi"/>'
        '<a href="/replay/T/link?url=http%3A%2F%2Fs%2Fx">y</a></svg>'
    )


def test_files_are_lent_only_where_a_limit_kept_them_out() -> None:
    reasons = {"http://s/1": "more than 2 files", "http://s/2": "404", "http://s/3": "not requested after 429"}
    others = (recorded(*(f"http://s/{number}" for number in range(6))),)
    each = replayed("http://s/5", reasons=reasons, others=others)
    assert each.lent() == {"http://s/0", "http://s/1", "http://s/3", "http://s/4"}


@pytest.mark.parametrize(("draw", "width"), [(placeholder, "240"), (small_placeholder, "16")])
def test_a_placeholder_is_a_drawing_whatever_the_reason(draw: Callable[[str, str], str], width: str) -> None:
    root = ElementTree.fromstring(draw("<&\"'", "http://s/?a&b=" + "x" * 500))
    assert root.tag.endswith("svg")
    assert root.get("width") == width
    assert "<&\"'" in "".join(root.itertext())

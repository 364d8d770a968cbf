from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import asdict

from lbcompanion.crawler.admin.recording_views import source_lines
from lbcompanion.protocol.removed_parts import RemovedParts
from tests.support.admin_server import RecordedPages


@pytest.mark.parametrize(
    ("tag", "is_masked"),
    [
        ("<input type=password value=''>", True),
        ("<INPUT TYPE='&#112;assword'>", True),
        ("<select autocomplete='billing cc-csc'>", True),
        ("<input type=text>", False),
        ("<script type=password>", False),
    ],
)
def test_what_the_default_masks_empty_is_marked(tag: str, is_masked: bool) -> None:
    lines, count = source_lines(f"a\r\n{tag}\rb".encode(), "text/html")
    assert count == is_masked
    assert [line.striptags() for line in lines][::2] == ["a", "b"]
    assert ("<mark" in lines[1]) is is_masked
    assert "<b" not in lines[1]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_marked_element_stays_within_its_line(end: str) -> None:
    """The template puts each line into a row of its own."""
    lines, count = source_lines(f"a{end}<input{end}type=password>{end}b".encode(), "text/html")
    assert (len(lines), count) == (3, 1)
    assert lines[1].startswith("<mark")
    assert lines[1].endswith("</mark>")


def test_the_source_is_shown_in_the_pages_encoding_and_escaped() -> None:
    lines, _ = source_lines("<p>\xe4&lt;".encode("latin-1"), "text/html; charset=latin1")
    assert lines == ["&lt;p&gt;\xe4&amp;lt;"]


NOTICE = "Less than the visitor got."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("removed", "notice", "fact", "source"),
    [
        (None, "", "not known: its node did not say it", "did not say whether it removed anything"),
        (RemovedParts(), "", "nothing: the copy has all of the page", "Nothing was removed from this page"),
        (
            RemovedParts(2, 1),
            "2 masked elements, 1 excluded block.",
            "2 masked elements, 1 excluded block",
            "not recorded",
        ),
        (RemovedParts(1, 0, 1200), "1 masked element, 1,200 embedded documents.", "1 masked element", "not recorded"),
    ],
)
def test_a_recording_says_what_its_copy_lacks(
    tmp_path: Path, removed: RemovedParts | None, notice: str, fact: str, source: str
) -> None:
    pages = RecordedPages(tmp_path)
    try:
        token = pages.record(b"<p>a", removed=removed)
        found = json.loads(pages.get(f"/api/recordings/{token}")[2])["removed"]
        assert found == (None if removed is None else asdict(removed))
        views = {
            view: pages.get(f"/recording/{token}{view}")[2].decode() for view in ("", "/source", "/headers", "/files")
        }
    finally:
        pages.close()
    assert [NOTICE in view and notice in view for view in views.values()] == [bool(notice)] * 4
    assert f"<dt>Removed from the copy</dt><dd>{fact}" in views[""]
    assert source in views["/source"]
    assert ("Lbc-Removed" in views["/headers"]) is (removed is not None)

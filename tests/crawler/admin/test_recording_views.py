from __future__ import annotations

import pytest

from lbcompanion.crawler.admin.recording_views import source_lines


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

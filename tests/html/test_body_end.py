"""Tags that are long, or do not end: a page is read in a time linear to its length, and comes out as it would whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.body_end import BodyEndInserter
from lbcompanion.html.held_input import joined
from lbcompanion.html.place_patterns import InsertionPoint, find_insertion_point
from tests.support.html_tree import Tree

SNIPPET = b"<script>x()</script>"
SIZE = 300_000
#: Behind them, more than is ever held back comes.
LONG = {
    "a quote": b'<a title="' + b"x" * SIZE,
    "a quote with what ends tags": b'<a title="' + b"x> " * (SIZE // 3),
    "attributes": b"<a " + b"b=c " * (SIZE // 4),
    "what is read as a comment": b"<?" + b"x" * SIZE,
    "an end tag": b"</a " + b"b=c " * (SIZE // 4),
}
ENDS = b'x"></a>'
REST = b"<p>" + b"x" * 20000 + b"</body></html>"


class _Counting(BodyEndInserter):
    """How much is read in all, in bytes; what is read twice counts twice."""

    bytes_read = 0

    def read(self, data: bytes, at_end: bool) -> None:
        self.bytes_read += len(data) - self.position
        super().read(data, at_end)


def _passed(machine: BodyEndInserter, page: bytes, step: int) -> bytes:
    out = [machine.feed(page[at : at + step]) for at in range(0, len(page), step)]
    return b"".join(out) + machine.feed(b"", at_end=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("ends", [True, False])
def test_a_long_tag_is_read_a_few_times_only(kind, ends):
    page = b"<body><p>" + LONG[kind] + (ENDS + REST if ends else b"")
    machine = _Counting(SNIPPET, False)
    assert _passed(machine, page, 1000) == BodyEndInserter(SNIPPET, False).feed(page, at_end=True)
    assert machine.bytes_read < 8 * len(page)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("ends", [True, False])
def test_an_anchor_within_a_long_tag_does_not_count(kind, ends, monkeypatch):
    monkeypatch.setattr("lbcompanion.html.place_patterns.BodyEndInserter", _Counting)
    fed = []
    monkeypatch.setattr(
        _Counting,
        "read",
        lambda self, data, at_end: fed.append(data) or BodyEndInserter.read(self, data, at_end),
    )
    page = b"<body><p>" + LONG[kind] + (ENDS + REST if ends else b"")
    found = find_insertion_point(
        page, InsertionPoint(re.compile(rb"x{64}|(?:x> ){32}|(?:b=c ){32}|<p>"), False), 0, xhtml=False, last=True
    )
    assert sum(map(len, fed)) < 8 * len(page)
    assert found is not None
    assert found >= len(page) - len(REST) if ends else found == len(b"<body>")


def test_a_long_tag_is_passed_on_once_it_ends():
    machine = BodyEndInserter(SNIPPET, False)
    tag = b'<img src="data:image/png;base64,' + b"A" * 200_000
    assert machine.feed(b"<body>") == b"<body>"
    for at in range(0, len(tag), 1000):
        assert machine.feed(tag[at : at + 1000]) == b""
    assert joined(machine.mark()) == tag
    assert machine.feed(b'=">text') == tag + b'=">text'


@given(
    st.lists(
        st.sampled_from([b'"', b">", b"a", b"b=c ", b"x" * 2000, b"</body>", b"<a t='", b"'", b"<svg>", b"</svg "])
    )
)
def test_pieces_do_not_matter(pieces):
    page = b'<body><a title="' + b"y" * 5000 + b"".join(pieces)
    whole = BodyEndInserter(SNIPPET, False)
    expected = whole.feed(page, at_end=True)
    machine = BodyEndInserter(SNIPPET, False)
    assert _passed(machine, page, 700) == expected
    assert (machine.inserted, machine.inserted_at) == (whole.inserted, whole.inserted_at)
    cut = BodyEndInserter(SNIPPET, False)
    out = b"".join(cut.feed(page[at : at + 700]) for at in range(0, len(page), 700))
    assert (out + joined(cut.mark())).replace(SNIPPET, b"") == page


OURS = b"<script data-lbc-token=TOKEN>x()</script>"
# End tags within svg and math of elements that may be open outside, and what is read otherwise where all is closed.
FOREIGN_WORDS = """
<span> </span> <section> </section> <div> </div> <b> </b> <td> </td> <table> </table> <form> </form> <p> </p> <img>
<svg> </svg> <svg/> <math> </math> <g> </g> <mi> <desc> </desc> <template> </template> text </body> <![CDATA[</body>]]>
<title></body></title> <script>'</svg></body>'</script> <style></body></style>
"""
FOREIGN_SOUP = st.lists(
    st.sampled_from(FOREIGN_WORDS.split()),
    max_size=14,
)


@pytest.mark.parametrize(
    ("page", "inserted"),
    [
        # Closed by its end tag, or by one of an element around it.
        (b"<svg><svg></svg></svg>", True),
        (b"<span><svg><svg></svg></span><p>text", True),
        (b"<section><svg></section><div></div>", True),
        (b"<td><math><svg></td></svg></math>", True),
        (b"<svg></span></svg><script>1</script>", True),
        (b"<template><svg></b></template>", True),
        # Whether an element is open around it is not known here.
        (b"<span><svg><svg></svg></span>", False),
        (b"<svg></span><script></body></script>", False),
        (b"<svg></section><![CDATA[</body>]]>", False),
        (b"<svg></div><svg></svg>", False),
        (b"<svg><desc><svg></div></svg></desc></svg>", False),
        # In these places they are ordinary elements.
        (b"<svg><template></svg></template><script></body></script>", False),
        (b"<svg><math><mi></svg><script></body></script>", False),
        (b"<math><title></body></title></math>", False),
        (b"<svg><template/></svg><math><title/></math>", True),
    ],
)
def test_end_tags_of_html_within_svg(page: bytes, inserted: bool) -> None:
    whole = b"<!doctype html><body>" + page + b"</body></html>"
    for size in (1, 3, len(whole)):
        inserter = BodyEndInserter(SNIPPET, False)
        out = b"".join(inserter.feed(whole[at : at + size]) for at in range(0, len(whole), size))
        out += inserter.feed(b"", at_end=True)
        assert out == (whole.replace(b"</body></html>", SNIPPET + b"</body></html>") if inserted else whole)


@pytest.mark.slow
@given(FOREIGN_SOUP)
def test_a_snippet_near_svg_and_math_is_a_script_and_changes_nothing(pieces: list[str]) -> None:
    page = "".join(("<!doctype html><body>", *pieces, "</body></html>")).encode()
    inserter = BodyEndInserter(OURS, False)
    out = inserter.feed(page, at_end=True)
    if inserter.inserted:
        before, after = Tree(page), Tree(out)
        assert after.shown == before.shown
        assert after.ours == [True]

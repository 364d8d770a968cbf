"""Soup of bytes and of tags through injector, prescan and copy: no crash, no hang, no changed page.

Small by default; ``make fuzz`` draws at random, and for long. :mod:`fuzz` mutates hostile documents beside it.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoint, InsertionPoints
from tests.support.html_fragments import BOTTOM, PAGES, TOP

CODES = st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"])
PATTERNS = st.sampled_from([None, re.compile(b"<p>"), re.compile(b"</body>"), re.compile(b"x")])


@st.composite
def _jobs(draw: st.DrawFn) -> dict[str, object]:
    top, bottom = draw(PATTERNS), draw(PATTERNS)
    insertion_points = InsertionPoints(
        top and InsertionPoint(top, draw(st.booleans())), bottom and InsertionPoint(bottom, draw(st.booleans()))
    )
    return {
        "xhtml": draw(st.booleans()),
        "top_at_head_end": draw(st.booleans()),
        "charset_known": draw(st.booleans()),
        "needs_document": draw(st.booleans()),
        "on_policies": draw(st.sampled_from([None, lambda policies: "x", lambda policies: (TOP, BOTTOM)])),
        "insertion_points": insertion_points if top or bottom else None,
        "utf_16": draw(st.sampled_from(["", "", "", "utf-16le", "utf-16be"])),
    }


@pytest.mark.slow
@given(PAGES, CODES, st.booleans(), _jobs(), st.data())
def test_injector(page: bytes, code: str, mark: bool, job: dict[str, object], data: st.DataObject) -> None:
    if code != "utf-8":
        page = (b"\xff\xfe" if code == "utf-16-le" else b"\xfe\xff") * mark + page.decode("latin-1").encode(code)
    whole = Injector(TOP, BOTTOM, **job)  # type: ignore[arg-type]
    out = whole.feed(page) + whole.finish()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(page)), max_size=12)))
    other = Injector(TOP, BOTTOM, **job)  # type: ignore[arg-type]
    again = b"".join(other.feed(page[a:b]) for a, b in pairwise([0, *cuts, len(page)])) + other.finish()
    assert again == out
    assert (other.inserted, other.refusal) == (whole.inserted, whole.refusal)
    assert whole.refusal is not Refusal.FAILED
    assert whole.inserted == (whole.refusal is None)
    target(float(len(out) - len(page)))
    for snippet in (TOP, BOTTOM):
        for written in ("utf-8", "utf-16-le", "utf-16-be"):
            out = out.replace(snippet.decode().encode(written), b"", 1)
    assert out == page

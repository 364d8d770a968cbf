"""The hostile documents of html5lib's tests, judged by an independent parser: the script is live, all else the same."""

from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest

from lbcompanion.html.inject import Injector
from tests.support.html_corpus import documents, read
from tests.support.html_tree import Tree
from tests.support.tags import default_tag

TOP = default_tag("TOKEN", "http://x.test/_lbc/page/TOKEN", "/_lbc/fetch-from.js?v=1", None, False)
BOTTOM = b"<script data-lbc-token=TOKEN>bottom()</script>"
#: The documents without a place: what opens before it, or in the head, takes in the rest of the document.
HOPELESS = {False: 10, True: 160}
PLACES = pytest.mark.parametrize("top_at_head_end", [False, True], ids=["head's start", "head's end"])
SEED = None if os.environ.get("LBC_HYPOTHESIS") == "big" else "corpus"


def injected(
    document: bytes, at_head_end: bool, bottom: bytes = b"", cuts: list[int] | None = None
) -> tuple[bytes, Injector]:
    injector = Injector(TOP, bottom, top_at_head_end=at_head_end)
    edges = [0, *(cuts or []), len(document)]
    return b"".join(injector.feed(document[a:b]) for a, b in pairwise(edges)) + injector.finish(), injector


@pytest.mark.slow
@PLACES
def test_the_script_is_live_and_all_else_the_same(top_at_head_end: bool) -> None:
    live = 0
    for document in documents():
        out, injector = injected(document, top_at_head_end)
        before, after = Tree(document), Tree(out)
        assert after.shown == before.shown, document
        assert after.ours in ([], [True]), document
        assert bool(after.ours) == injector.inserted
        assert out.replace(TOP, b"") == document
        live += bool(after.ours)
    assert len(documents()) >= 1500
    assert live >= len(documents()) - HOPELESS[top_at_head_end]


@pytest.mark.slow
@PLACES
def test_the_bottom_snippet_too(top_at_head_end: bool) -> None:
    found = 0
    for document in documents():
        out, _ = injected(document, top_at_head_end, BOTTOM)
        before, after = Tree(document), Tree(out)
        assert all(after.ours), document
        # <selectedcontent> shows what stands in an option a second time; no clone of a script runs.
        assert len(after.ours) >= out.count(TOP) + out.count(BOTTOM), document
        assert out.replace(TOP, b"").replace(BOTTOM, b"") == document
        assert after.shown == before.shown, document
        found += BOTTOM in out
    assert found > len(documents()) // 2


@pytest.mark.slow
@PLACES
def test_any_cut_gives_the_same(top_at_head_end: bool) -> None:
    chance = Random(SEED)
    for document in documents():
        whole, one = injected(document, top_at_head_end, BOTTOM)
        every, _ = injected(document, top_at_head_end, BOTTOM, list(range(1, len(document))))
        assert every == whole
        for _ in range(3):
            cuts = sorted(chance.choices(range(len(document) + 1), k=chance.randrange(1, 6)))
            again, other = injected(document, top_at_head_end, BOTTOM, cuts)
            assert (again, other.inserted, other.refusal) == (whole, one.inserted, one.refusal)


def test_the_reading_of_the_files() -> None:
    first = b"#data\na\nb\n#errors\n#document\n| <a>\n\n"
    text = first + b"#data\nc\n#errors\n#script-off\n#document\n\n#data\n\n#errors\n#document\n"
    assert list(read(text)) == [b"a\nb", b""]

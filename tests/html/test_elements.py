"""Sets of element names, compared with what a parser does that is not of this project."""

from __future__ import annotations

import pytest

from lbcompanion.html.elements import BREAKOUT, HTML_ONLY, VOID, as_bytes
from tests.support.html_tree import Tree

OTHERS = ("a", "abbr", "article", "form", "label", "section", "select", "title", "x-y")


def _namespaces(document: str) -> dict[str, str]:
    return {node[0]: node[2] for node in Tree(document.encode()).shown if not node[0].startswith(("#", "!"))}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BREAKOUT - {"body", "head"}) + list(OTHERS))
def test_which_start_tags_leave_svg(name: str) -> None:
    namespace = _namespaces(f"<!DOCTYPE html><body><svg><{name}>")[name]
    assert namespace == ("html" if name in BREAKOUT else "svg")


_IN_A_TABLE = {"caption", "col", "colgroup", "td", "th", "tr", "tbody", "tfoot", "thead"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(HTML_ONLY - _IN_A_TABLE - {"select", "option", "optgroup"}))
def test_which_end_tags_within_svg_close_it_and_the_element_outside(name: str) -> None:
    nodes = Tree(f"<!DOCTYPE html><body><{name}><svg></{name}><b>".encode()).shown
    depth = {node[0]: node[1] for node in nodes}
    assert depth["b"] == depth[name]


# These are dropped, or belong to the head, where another rule applies.
_NOT_IN_A_BODY = {"base", "basefont", "bgsound", "col", "frame", "link", "meta"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sorted(VOID - _NOT_IN_A_BODY), "a", "abbr", "article", "form", "label", "x-y"])
def test_which_elements_have_no_content(name: str) -> None:
    nodes = Tree(f"<!DOCTYPE html><body><div><{name}><i></i>".encode()).shown
    depth = {node[0]: node[1] for node in nodes}
    assert (depth["i"] == depth[name]) == (name in VOID)


def test_bytes_are_the_same_names() -> None:
    for names in (VOID, BREAKOUT, HTML_ONLY):
        assert {name.decode() for name in as_bytes(names)} == names

"""Snippets at places of the operator's choice."""

from __future__ import annotations

import re

import pytest

from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoint, InsertionPoints
from tests.support.html_fragments import page_of
from tests.support.injecting import filled, run


def anchored(after: str = "", before: str = "") -> InsertionPoint:
    return InsertionPoint(re.compile((after or before).encode()), bool(after))


class TestAnchors:
    @pytest.mark.parametrize(
        ("expected", "top", "bottom"),
        [
            ("<html><head></head><body id=x>{T}<p>y{B}</body>", anchored(after="<body[^>]*>"), None),
            ("<html><head><title>x</title>{T}</head><body>y{B}</body>", anchored(before="</head>"), None),
            ("<html><head>{T}</head><body>a<hr>b<hr>{B}c</body>", None, anchored(after="<hr>")),
            ("<html><head>{T}</head><body>a{B}<footer>b</footer></body>", None, anchored(before="<footer>")),
            ("<html><head></head><body>{T}<i>{B}</i></body>", anchored(before="<i>"), anchored(after="<i>")),
            ("<html><head></head><body>{T}{B}<i></i></body>", anchored(before="<i>"), anchored(before="<i>")),
            # In a comment, a string, an attribute, a template it is none.
            ("<html><head><!-- <b> --></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ("<html><head><script>'<b>'</script></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ("<html><head><title><b></title></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ('<html><head></head><body title="<b>"><b>{T}</b>{B}</body>', anchored(after="<b>"), None),
            ("<html><head><template><b></template></head><body><b>{T}</b>{B}", anchored(after="<b>"), None),
            ("<html><head></head><body><svg><b1></svg><b1>{T}{B}", anchored(after="<b1>"), None),
            ("<html><head></head><body><textarea><b></textarea><b>{T}{B}", anchored(after="<b>"), None),
            ("<html><head>{T}</head><body><b>x{B}</b><!-- <b> --></body>", None, anchored(after="<b>x")),
            # Before the head there is no place, nor is one where no match is: the usual ones.
            ("<!DOCTYPE html><html><head>{T}</head><body>{B}</body>", anchored(before="<!DOCTYPE"), None),
            ("<html><head>{T}</head><body>{B}</body>", anchored(after="<main>"), anchored(before="<main>")),
            ("<html><head><!--" + "y" * 970 + "--><meta charset=utf-8>{T}<p>{B}", anchored(before="<meta"), None),
            ("<html><head></head><frameset>{T}</frameset>".replace("{T}", "").replace("<head>", "<head>{T}"),
             anchored(after="<frameset>"), anchored(after="<frameset>")),
        ],
    )  # fmt: skip
    def test_places(self, expected: str, top: InsertionPoint | None, bottom: InsertionPoint | None) -> None:
        page = page_of(expected)
        insertion_points = InsertionPoints(top, bottom)
        for cuts in ([], [5, 20], list(range(1, len(page)))):
            out, injector = run(page, cuts, insertion_points=insertion_points)
            assert out == filled(expected)
            assert injector.inserted

    def test_a_page_left_alone_for_another_reason(self) -> None:
        page = b"<html amp><head></head><body></body></html>"
        assert run(page, insertion_points=InsertionPoints(anchored(after="<body>")))[0] == page

    def test_too_large(self) -> None:
        page = b"<html><head></head><body></body></html>"
        out, injector = run(page, [10], insertion_points=InsertionPoints(anchored(after="<body>")), limit_bytes=20)
        assert (out, injector.refusal) == (page, Refusal.LARGE)

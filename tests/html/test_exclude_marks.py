"""Where excluded blocks begin and end, by what a browser reads as a comment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.exclude_marks import blocks, is_mark, unbalanced
from lbcompanion.html.redaction import redact

START, END = "<!-- lbc:exclude -->", "<!-- /lbc:exclude -->"


@pytest.mark.parametrize(
    "inside",
    [
        f'<p title="{END}">SECRET</p>',
        f"<p title='{END}'>SECRET</p>",
        f'<script>var c = "{END}"</script>SECRET',
        f"<script><!-- <script>{END}</script>SECRET</script>SECRET",
        f"<style>{END}</style>SECRET",
        f"<textarea>{END}</textarea>SECRET",
        f"<title>{END}</title>SECRET",
        f"<noscript>{END}</noscript>SECRET",
        f"<iframe>{END}</iframe>SECRET",
        f"<xmp>{END}</xmp>SECRET",
        f"<svg><![CDATA[{END}]]></svg>SECRET",
        "<!-- <!-- /lbc:exclude -- > -->SECRET",
        "<!/lbc:exclude>SECRET",
        "<?/lbc:exclude?>SECRET",
        f"<a b={END[:4]} /lbc:exclude -->SECRET",
        f"<!doctype {END[4:]}SECRET",
    ],
)
def test_only_a_comment_ends_a_block(inside: str) -> None:
    copy = redact(f"a{START}{inside}{END}b".encode(), exclude_blocks=True, masks=None, charset="utf-8")
    assert b"SECRET" not in copy
    assert copy.startswith(b"a")


@pytest.mark.parametrize(
    "page",
    [
        f'<p title="{START}">kept</p>',
        f"<script>'{START}'</script>kept",
        f"<textarea>{START}</textarea>kept",
        f"<svg><![CDATA[{START}]]></svg>kept",
        "<!lbc:exclude>kept",
    ],
)
def test_only_a_comment_begins_a_block(page: str) -> None:
    assert redact(page.encode(), exclude_blocks=True, masks=None, charset="utf-8") == page.encode()


@pytest.mark.parametrize(
    ("page", "copy"),
    [
        (f"<template>a{START}b{END}c</template>", "<template>ac</template>"),
        (f"<svg><title>a{START}b{END}c</title></svg>", "<svg><title>ac</title></svg>"),
        (f"<iframe srcdoc='a{START}b{END}c'>{START}</iframe>d", f'<iframe srcdoc="ac">{START}</iframe>d'),
        ("a<!-- lbc:exclude --!>b", "a"),
        ("a<!-- lbc:exclude", "a"),
    ],
)
def test_comments_wherever_browsers_read_them(page: str, copy: str) -> None:
    assert redact(page.encode(), exclude_blocks=True, masks=None, charset="utf-8") == copy.encode()


def test_the_text_of_a_mark() -> None:
    assert is_mark(" lbc:exclude ")
    assert is_mark("\n/LBC:Exclude")
    assert not is_mark("lbc:excluded")
    assert not is_mark("/ lbc:exclude")


@given(st.lists(st.booleans(), max_size=12))
def test_blocks_are_where_the_depth_is_above_zero(opens: list[bool]) -> None:
    marks = [(10 * index, 10 * index + 5, opening) for index, opening in enumerate(opens)]
    inside: set[int] = set()
    depth = 0
    for start, _, opening in marks:
        was = depth
        depth = depth + 1 if opening else max(0, depth - 1)
        if was or depth:
            inside.update(range(start, start + 5))
        if depth:
            inside.update(range(start + 5, start + 10))
    assert {at for start, end in blocks(marks, 10 * len(marks)) for at in range(start, end)} == inside
    assert unbalanced(marks).count(True) == depth

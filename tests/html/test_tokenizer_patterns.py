"""Tags, as HTML's tokenizer reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTE,
    COMMENT,
    START_TAG,
    TAG_NAME,
    any_case,
    attributes,
    tag_name,
    unescaped,
)


@pytest.mark.parametrize(
    ("tag", "name"),
    [(b"<BODY class=x>", b"body"), (b"</Body>", b"body"), (b"<my-tag/>", b"my-tag"), (b"<3>", b""), (b"text", b"")],
)
def test_a_tags_name(tag: bytes, name: bytes) -> None:
    assert tag_name(tag) == name


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        (b"<a>", {}),
        (b"<a HREF=x>", {b"href": b"x"}),
        (b"<a href='x y' id=\"1>2\">", {b"href": b"x y", b"id": b"1>2"}),
        (b"<a x=1 x=2>", {b"x": b"1"}),
        (b"<a hidden/checked>", {b"hidden": b"", b"checked": b""}),
        (b"<a x = 1 =y>", {b"x": b"1", b"=y": b""}),
    ],
)
def test_attributes(tag: bytes, found: dict[bytes, bytes]) -> None:
    assert attributes(tag) == found


@pytest.mark.parametrize("whole", [b"<!-->", b"<!--->", b"<!---->", b"<!-- x -- y -->", b"<!-- x --!>"])
def test_a_whole_comment(whole: bytes) -> None:
    assert re.fullmatch(COMMENT, whole)
    assert not re.fullmatch(COMMENT, whole[:-1])


def test_a_greater_than_in_a_value_ends_no_tag() -> None:
    found = re.match(START_TAG, b"<a title='>' b>text")
    assert found is not None
    assert found[0] == b"<a title='>' b>"


def test_names_in_either_case() -> None:
    assert re.fullmatch(any_case(b"head", b"h1"), b"HeAd")
    assert re.fullmatch(any_case(b"head", b"h1"), b"H1")


def test_character_references_are_read() -> None:
    assert unescaped(b"&apos;&#65;&amp;") == "'A&"


@given(st.lists(st.sampled_from(["a", "B", "/", " ", "=", '"', "'", "<", "x:y", "\n", "&", "é"]), max_size=16))
def test_one_attribute_begins_where_the_one_before_ends(pieces: list[str]) -> None:
    if whole := re.match(START_TAG, f"<p {''.join(pieces)}>".encode()):
        tag, found = whole[0], {}
        name = TAG_NAME.match(tag)
        assert name is not None
        position = name.end()
        while one := ATTRIBUTE.match(tag, position):
            found.setdefault(one[1].lower(), one[2] or one[3] or one[4] or b"")
            position = one.end()
        assert tag[position:].strip(b"/ \n") == b">"
        assert attributes(tag) == found

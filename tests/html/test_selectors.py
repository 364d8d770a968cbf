from __future__ import annotations

import pytest

from lbcompanion.html.selectors import (
    attribute_names,
    compared_characters,
    has_combinator,
    references_to,
    required_words,
)


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("input[type=password i]", (b"input", b"type", b"password")),
        (".Secret > p", (b"secret",)),
        ("[data-x='a b']", (b"data-x",)),
        ("*", ()),
        ("p:not(.secret)", ()),
        ("p, .secret", ()),
        ("\\70 xx", ()),
    ],
)
def test_required_words(selector: str, words: tuple[bytes, ...]) -> None:
    assert required_words(selector) == words


@pytest.mark.parametrize(
    ("selector", "is_combined"),
    [("form input", True), ("form>input", True), ("a,b", True), ("[x='a b,c'][y~=z]", False), ("*", False)],
)  # fmt: skip
def test_has_combinator(selector: str, is_combined: bool) -> None:
    assert has_combinator(selector) is is_combined


def test_attribute_names() -> None:
    assert attribute_names(["input[Type=x]", "p[ data-x ]"]) == {"type", "data-x"}
    assert attribute_names([".x", "#y"]) == {"class", "id"}
    assert attribute_names(["p"]) == frozenset()
    assert attribute_names(["[x]", "\\70"]) is None


def test_compared_characters_are_those_of_values_in_either_case() -> None:
    assert compared_characters(["[x=aB]"]) == frozenset("abAB")
    assert compared_characters(["p", "[x]"]) == frozenset()
    assert compared_characters(["[x|=a]", ".b"]) == frozenset("aAbB-\t\n\f\r ")
    assert compared_characters(["\\70"]) == frozenset(map(chr, range(0x20, 0x7F)))


@pytest.mark.parametrize(
    ("page", "is_found"),
    [
        (b"&#97;", True),
        (b"&#0097", True),
        (b"&#x61;", True),
        (b"&#970;", False),
        (b"&#x610;", False),
        (b"&commat;", True),
        (b"&amp;", False),
        (b"a@", False),
    ],
)
def test_references_to(page: bytes, is_found: bool) -> None:
    pattern, start = references_to(frozenset("a@"))
    assert pattern is not None
    assert (pattern.search(page) is not None) is is_found
    assert start == b"&"


def test_references_to_characters_without_a_name_begin_with_a_hash() -> None:
    assert references_to(frozenset("a"))[1] == b"&#"
    assert references_to(frozenset()) == (None, b"")

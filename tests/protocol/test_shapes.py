"""The shapes of the copy protocol's values."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.protocol import shapes
from lbcompanion.testing.strategies import tokens


@given(tokens())
def test_every_token_has_the_form_of_one(token: str) -> None:
    assert shapes.TOKEN.fullmatch(token)


@pytest.mark.parametrize("text", ["", "a" * 64, "a b", "a/b", "a.b", "\u00e9", "\u0661", "a\n"])
def test_what_has_not_the_form_of_a_token(text: str) -> None:
    assert not shapes.TOKEN.fullmatch(text)


@pytest.mark.parametrize(
    ("text", "so"),
    [
        ("bm9uY2U=", True), ("bm9-Y2_U", True), ("bm9+Y2/U", True), ("0123abcd-4567", True), ("a" * 128, True),
        ("", False), ("a" * 129, False), ("a b", False), ("a\nb", False), ("\u0661", False), ('a"', False),
    ],
)  # fmt: skip
def test_a_nonce(text: str, so: bool) -> None:
    assert bool(shapes.NONCE.fullmatch(text)) is so


@pytest.mark.parametrize(
    ("url", "browser", "page", "ascii_only"),
    [
        ("https://www.example.com/a?b=c", True, True, True),
        ("http://[::1]:8080/", True, True, True),
        ("https://www.example.com/\u00e9", True, True, False),
        ("HTTPS://www.example.com/", True, False, False),
        ("https://www.example.com/\ud800", False, True, False),
        ("https://www.example.com/a b", False, False, False),
        ("https://www.example.com/a\x7f", False, False, False),
        ("https://", False, False, False),
        ("ftp://www.example.com/", False, False, False),
    ],
)
def test_an_address(url: str, browser: bool, page: bool, ascii_only: bool) -> None:
    found = [bool(one.fullmatch(url)) for one in (shapes.BROWSER_URL, shapes.PAGE_URL, shapes.ASCII_URL)]
    assert found == [browser, page, ascii_only]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (shapes.ASCII_URL, shapes.PAGE_URL),
        (shapes.ASCII_URL, shapes.BROWSER_URL),
        (shapes.CAPITAL_METHOD, shapes.METHOD),
        (shapes.STATUS, shapes.FIELD_VALUE),
        (shapes.NONCE, shapes.FIELD_VALUE),
        (shapes.TOKEN, shapes.NONCE),
    ],
)
@given(data=st.data())
def test_what_has_the_narrow_shape_has_the_wide_one(
    narrow: re.Pattern[str], wide: re.Pattern[str], data: st.DataObject
) -> None:
    assert wide.fullmatch(data.draw(st.from_regex(narrow, fullmatch=True)))


def test_the_last_second_can_be_written_everywhere() -> None:
    last = datetime.fromtimestamp(shapes.LAST_SECOND, UTC)
    assert (last.year, last.month, last.day) == (9999, 12, 31)

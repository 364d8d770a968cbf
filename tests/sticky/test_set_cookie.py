from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.sticky.set_cookie import MAX_SET_COOKIES, SetCookie, earliest_expiry, expiry, parse_set_cookies

NOW = 1_795_468_200.0


def test_deletions_and_what_could_not_be_sent_are_left_out() -> None:
    lines = (
        *("A=1; path=/; HttpOnly", "B=; path=/", "C=3; Max-Age=0", "D=4; max-age=10", "=x", "none", 'E="q"', "F=a b"),
        *("G=\x7f", "H=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", "I=1", "I=; Max-Age=0", "J=1", "J=2"),
    )
    values = {name: handed.value for name, handed in parse_set_cookies(lines, NOW).items()}
    assert values == {"A": "1", "D": "4", "E": '"q"', "F": "a b", "J": "2"}


@pytest.mark.parametrize(
    ("attributes", "ends"),
    [
        ("", None),
        ("; path=/; HttpOnly; SameSite=None; Secure", None),
        ("; Max-Age=60", NOW + 60),
        ("; max-age = 60 ", NOW + 60),
        ("; Max-Age=60; Max-Age=5", NOW + 5),
        ("; Max-Age=soon", None),
        ("; Max-Age=60; Expires=Mon, 30 Nov 2026 21:10:00 GMT", NOW + 60),
        ("; Expires=Mon, 23 Nov 2026 21:11:00 GMT", 1_795_468_260.0),
        ("; expires=Mon, 23-Nov-2026 21:11:00 GMT", 1_795_468_260.0),
        ("; expires=Mon, 23-Nov-26 21:11:00 GMT", 1_795_468_260.0),
        ("; expires=tomorrow", None),
        ("; expires", None),
    ],
)
def test_when_a_cookie_ends(attributes: str, ends: float | None) -> None:
    assert expiry(f"SRV=n1{attributes}", NOW) == ends


def test_the_first_of_several_to_end() -> None:
    assert earliest_expiry([SetCookie("a", 5.0), SetCookie("b"), SetCookie("c", 3.0)]) == 3.0
    assert earliest_expiry([SetCookie("b")]) is None


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_lines_can_be_read(lines: list[str]) -> None:
    for name, handed in parse_set_cookies(lines, NOW).items():
        assert name
        assert handed.value
        assert handed.expires_at is None or handed.expires_at > NOW


def test_no_value_is_shown() -> None:
    assert "n1" not in repr(SetCookie("n1"))


def test_a_response_with_thousands_of_cookies() -> None:
    lines = [f"a{number}=b; Expires=Mon, 23 Nov 2099 21:10:00 GMT" for number in range(5000)]
    assert list(parse_set_cookies(lines, 0.0)) == [f"a{number}" for number in range(MAX_SET_COOKIES)]

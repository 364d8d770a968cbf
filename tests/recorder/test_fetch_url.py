"""The fetch URL that carries cookies."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.recorder.fetch_url import decode_fetch_url, encode_fetch_url

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text("%;=&#+ 2B3Da", max_size=12)


@pytest.mark.parametrize(
    ("url", "cookies", "text"),
    [
        ("http://x/", [("a", "1"), ("b", "2")], "http://x/#CTFetchCookies=a%3D1%3Bb%3D2%3B"),
        ("http://x/#f", [("a", "1")], "http://x/#f&CTFetchCookies=a%3D1%3B"),
        ("http://x/", [], "http://x/#CTFetchCookies="),
        ("http://x/", [("a", "b==")], "http://x/#CTFetchCookies=a%3Db%3D%3D%3B"),
        ("http://x/", [("a=", "b;c%")], "http://x/#CTFetchCookies=a%253D%3Db%253Bc%2525%3B"),
        ("http://x/", [("S", "n1~(a)*!'")], "http://x/#CTFetchCookies=S%3Dn1~(a)*!'%3B"),
    ],
)
def test_the_form(url: str, cookies: list[tuple[str, str]], text: str) -> None:
    assert encode_fetch_url(url, cookies) == text
    assert decode_fetch_url(text) == (url, tuple(cookies))


@given(TEXTS, st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_round_trip(url: str, cookies: list[tuple[str, str]]) -> None:
    assert decode_fetch_url(encode_fetch_url(url, cookies)) == (url, tuple(cookies))


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))
def test_the_other_switch_may_follow(cookies: list[tuple[str, str]]) -> None:
    text = encode_fetch_url("http://x/#f", cookies) + "&CTFetchUserAgent=VisitorUserAgent"
    assert decode_fetch_url(text) == ("http://x/#f", tuple(cookies))


@pytest.mark.parametrize("text", ["", "http://x/", "http://x/#", "http://x/#f&g", "http://x/?CTFetchCookies=a"])
def test_a_url_without_cookies(text: str) -> None:
    assert decode_fetch_url(text) == (text, ())


@pytest.mark.parametrize("rest", ["a%3D1", "a%3B", "%", "%zz", "a%3D%25%3B", "a%3D%252%3B", "%FF%3D1%3B", "\udc80=1;"])
def test_what_cannot_be_read(rest: str) -> None:
    with pytest.raises(ValueError, match=r"cookie|percent") as caught:
        decode_fetch_url(f"http://x/#CTFetchCookies={rest}")
    assert rest not in str(caught.value)
    assert type(caught.value) is ValueError


@given(st.text(max_size=60) | st.text("#&CTFetchCookies=%;3DB25a", max_size=60).map(lambda t: "u#CTFetchCookies=" + t))
def test_total(text: str) -> None:
    with suppress(ValueError):
        decode_fetch_url(text)


def test_half_a_surrogate_pair() -> None:
    with pytest.raises(ValueError, match="surrogate") as caught:
        encode_fetch_url("u", [("a", "\ud800")])
    assert type(caught.value) is ValueError

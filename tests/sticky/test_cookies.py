"""The Cookie header as balancers read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import MAX_SENT_BYTES, is_pattern, names_match, parse, render, safe_to_send
from lbcompanion.testing.strategies import cookie_headers, routing_cookies


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("SRV=n1; SRV=n2", "SRV", "n1"),
        ('sess="Cg4x=="', "sess", '"Cg4x=="'),
        ("x=a b; SRV=n1", "SRV", "n1"),
        ('x={"a":1,"b":2}; SRV=n1', "SRV", "n1"),
        ("novalue; SRV=n1", "SRV", "n1"),
        ("[bad]=1; SRV=n1", "SRV", "n1"),
        ("=1; SRV=n1", "SRV", "n1"),
        ("SRV=n1|awRWF|awRWF", "SRV", "n1|awRWF|awRWF"),
        ("a=1;SRV = n1 ;b=2", "SRV", "n1"),
        ("BIGipServer~Common~p=!base64+/=", "BIGipServer~Common~p", "!base64+/="),
        ("a==b=c", "a", "=b=c"),
        ("SRV=", "SRV", ""),
    ],
)
def test_one_odd_cookie_hides_no_other(header: str, name: str, value: str) -> None:
    assert parse(header)[name] == value
    assert parse(header.encode())[name] == value


@pytest.mark.slow
@given(cookie_headers())
def test_any_header_is_read_alike_as_text_and_as_bytes(header: str) -> None:
    assert parse(header) == parse(header.encode("latin-1"))


@given(st.binary(max_size=80))
def test_any_bytes_are_accepted(header: bytes) -> None:
    for name in parse(header):
        assert name
        assert ";" not in name


@given(st.lists(routing_cookies(), max_size=4, unique_by=lambda cookie: cookie.name))
def test_what_is_sent_is_what_is_read(cookies: list[RoutingCookie]) -> None:
    assert safe_to_send(cookies)
    assert parse(render(cookies)) == {cookie.name: cookie.value for cookie in cookies}


@given(cookie_headers())
def test_what_may_be_sent_is_read_as_it_was(header: str) -> None:
    cookies = [RoutingCookie(*pair) for pair in parse(header).items()]
    if safe_to_send(cookies):
        assert parse(render(cookies)) == parse(header)


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "b;c"), ("a", "b\r\nX: y"), ("a", "b\0"), ("a", "ü"), ("a", " b"), ("a b", "c"), ("", "c"), ("a=", "c")],
)
def test_what_would_change_the_request_is_not_sent(name: str, value: str) -> None:
    assert not safe_to_send([RoutingCookie(name, value)])


def test_four_kilobytes_are_the_most() -> None:
    assert safe_to_send([RoutingCookie("a", "x" * (MAX_SENT_BYTES - 2))])
    assert not safe_to_send([RoutingCookie("a", "x" * (MAX_SENT_BYTES - 1))])


def test_the_value_is_not_shown() -> None:
    assert "secret" not in repr(RoutingCookie("a", "secret"))


def test_names_are_names_or_patterns() -> None:
    assert names_match(("SRV", "/^purs_/"), "SRV")
    assert names_match(("SRV", "/^purs_/"), "purs_1")
    assert not names_match(("SRV", "/^purs_/"), "srv")
    assert not names_match(("S.V",), "SRV")
    assert not names_match((), "SRV")


def test_a_bad_pattern_says_so() -> None:
    assert is_pattern("/a/")
    assert not is_pattern("a")
    with pytest.raises(ValueError, match="regular expression"):
        is_pattern("/(/")

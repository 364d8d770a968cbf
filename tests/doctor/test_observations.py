"""``Set-Cookie`` lines, read as browsers read them."""

from __future__ import annotations

import pytest

from lbcompanion.doctor.observations import parse_set_cookie

NOW = "Tue, 01 Sep 2026 12:00:00 GMT"


def read(line: str, path: str = "/shop/page"):
    return parse_set_cookie(line, path, NOW)


def test_all_attributes():
    set_cookie = read("SRV=n1; Path=/a; Domain=.Example.com; HttpOnly; Secure; SameSite=lax; Max-Age=60")
    assert (set_cookie.name, set_cookie.value, set_cookie.path, set_cookie.path_named) == ("SRV", "n1", "/a", True)
    assert (set_cookie.domain, set_cookie.http_only, set_cookie.secure, set_cookie.same_site) == (
        "example.com",
        True,
        True,
        "Lax",
    )
    assert set_cookie.seconds == 60


@pytest.mark.parametrize(
    ("path", "scope"), [("/", "/"), ("/page", "/"), ("/shop/page", "/shop"), ("/shop/", "/shop"), ("/a/b/c", "/a/b")]
)
def test_without_a_path_the_folder_counts(path, scope):
    set_cookie = read("a=b", path)
    assert (set_cookie.path, set_cookie.path_named) == (scope, False)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("a=b", None),
        ("a=b; Expires=Tue, 01 Sep 2026 12:01:00 GMT", 60),
        ("a=b; expires=Tue, 01-Sep-2026 12:01:00 GMT", 60),
        ("a=b; Expires=Tue, 01 Sep 2026 12:01:00 GMT; Max-Age=5", 5),
        ("a=b; Expires=soon", None),
        ("a=b; Max-Age=soon", None),
        ("a=b; Max-Age=-1", -1),
        ("a=b; Max-Age=--1", None),
        ("a=b; Expires=Tue, 01-Sep-26 12:01:00 GMT", 60),
        ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", pytest.approx(-1788264000)),
    ],
)
def test_how_long_it_lives(line, seconds):
    assert read(line).seconds == seconds


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01-Jan-1970 00:00:10 GMT"])
def test_an_answer_without_a_date_can_still_take_a_cookie_away(date):
    set_cookie = parse_set_cookie(f"a=b; Expires={date}", "/", "")
    assert set_cookie is not None
    assert set_cookie.deleted


@pytest.mark.parametrize(("line", "gone"), [("a=", True), ("a=b; Max-Age=0", True), ("a=b", False)])
def test_what_takes_it_away(line, gone):
    assert read(line).deleted is gone


@pytest.mark.parametrize("line", ["", "a", "=b", "; Path=/"])
def test_what_is_no_cookie(line):
    assert read(line) is None


@pytest.mark.parametrize(
    ("scope", "path", "covered"),
    [("/", "/_lbc/notice", True), ("/shop", "/_lbc/notice", False), ("/_lbc", "/_lbc/x", True), ("/a", "/ab", False)],
)
def test_what_a_path_covers(scope, path, covered):
    assert read(f"a=b; Path={scope}").covers(path) is covered

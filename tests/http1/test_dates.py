"""Dates of HTTP and of cookies."""

from __future__ import annotations

import time
from calendar import timegm
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.dates import parse_cookie_date, parse_http_date

NOW = 1_795_468_200.0


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize("text", [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "SUN, 06 nov 1994 08:49:37 gmt", " Sun, 06 Nov 1994 08:49:37 GMT ",
])  # fmt: skip
def test_dates(text: str) -> None:
    assert parse_http_date(text, NOW) == 784111777


@pytest.mark.parametrize("text", [
    "", "0", "-1", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
    "Sun, 06 Xxx 1994 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT", "Sun 06 Nov 1994 08:49:37 GMT",
])  # fmt: skip
def test_texts_that_are_no_dates(text: str) -> None:
    assert parse_http_date(text, NOW) is None


def test_a_year_with_two_digits_does_not_depend_on_the_machines_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    end_of_2026 = timegm((2026, 12, 31, 23, 30, 0))
    for zone in ("UTC", "UTC-14", "UTC+12"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        found = parse_http_date("Friday, 31-Dec-77 00:00:00 GMT", end_of_2026)
        monkeypatch.undo()
        time.tzset()
        assert found == timegm((1977, 12, 31, 0, 0, 0))


@given(st.integers(0, 4_000_000_000))
def test_every_date_is_read(seconds: int) -> None:
    assert parse_http_date(http_date(seconds), NOW) == seconds


@pytest.mark.parametrize("text", [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "Sun, 6-NOVEMBER-1994 8:49:37", "08:49:37 06 nov 94", "1994 Nov 06 08:49:37 +0200", "06 Nov 1994 08:49:37z",
])  # fmt: skip
def test_dates_of_cookies(text: str) -> None:
    assert parse_cookie_date(text) == 784111777


@pytest.mark.parametrize(("text", "year"), [("69", 2069), ("70", 1970), ("00", 2000), ("1601", 1601)])
def test_years_of_cookies(text: str, year: int) -> None:
    assert parse_cookie_date(f"01-Jan-{text} 00:00:00") == timegm((year, 1, 1, 0, 0, 0))


@pytest.mark.parametrize("text", [
    "", "0", "soon", "06 Nov 1994", "Nov 1994 08:49:37", "06 1994 08:49:37", "06 Nov 08:49:37", "06 Nov 1600 08:49:37",
    "31 Feb 1994 08:49:37", "06 Nov 1994 24:49:37", "06 Nov 1994 08:60:37", "06 Nov 1994 08:49:60",
    "06 Nov 19945 08:49:37", "Jan-1-1",
])  # fmt: skip
def test_texts_that_are_no_dates_of_cookies(text: str) -> None:
    assert parse_cookie_date(text) is None


@given(st.integers(0, 4_000_000_000))
def test_a_cookies_date_is_read_like_one_of_http(seconds: int) -> None:
    assert parse_cookie_date(http_date(seconds)) == seconds


@given(st.text(), st.floats())
def test_no_text_fails(text: str, now: float) -> None:
    parse_cookie_date(text)
    parse_http_date(text, now)

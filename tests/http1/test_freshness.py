"""Reuse and validation by RFC 9111.

Beyond these cases the module gives the answer that https://cache-tests.fyi requires of a shared cache, in its suites
age-parse, cc-*, expires-*, heuristic-freshness, pragma and status.
"""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.freshness import MAX_HEURISTIC_SECONDS, StoredHead, cache_directives

NOW = 1_795_468_200.0
LATER = st.floats(0, 1e9)


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def head(*lines: tuple[str, str], status: int = 200, took: float = 0.0) -> StoredHead:
    return StoredHead(status, lines, NOW - took, NOW)


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([("cache-control", "max-age=60")], 60),
        ([("cache-control", "MAX-AGE=60")], 60),
        ([("cache-control", 'max-age="60"')], 60),
        ([("cache-control", "s-maxage=5, max-age=60")], 5),
        ([("cache-control", "max-age=60, max-age=6")], 6),
        ([("cache-control", "max-age=60"), ("cache-control", "max-age=6")], 6),
        ([("cache-control", "max-age=60s")], 0),
        ([("cache-control", "max-age")], 0),
        ([("cache-control", "max-age=-1")], 0),
        ([("cache-control", "max-age=1e9")], 0),
        ([("cache-control", "max-age= 60")], 0),
        ([("cache-control", 'x="a, max-age=60", max-age=6')], 6),
        ([("cache-control", "max-age=99999999999999999999999999")], 2147483648),
        ([("cache-control", "public")], 0),
        ([("cache-control", "max-age=0"), ("expires", http_date(NOW + 60))], 0),
        ([("expires", http_date(NOW + 60))], 60),
        ([("expires", http_date(NOW + 60)), ("date", http_date(NOW + 20))], 40),
        ([("expires", http_date(NOW - 60))], 0),
        ([("expires", "0")], 0),
        ([("expires", http_date(NOW + 60)), ("expires", "0")], 0),
        ([("last-modified", http_date(NOW - 1000))], 100),
        ([("last-modified", http_date(NOW - 1000)), ("date", http_date(NOW - 500))], 50),
        ([("last-modified", http_date(NOW + 1000))], 0),
        ([("last-modified", http_date(0))], MAX_HEURISTIC_SECONDS),
        ([], 0),
    ],
)
def test_lifetime(lines: list[tuple[str, str]], seconds: float) -> None:
    assert head(*lines).lifetime(NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("lines", "took", "age"),
    [
        ([], 0, 0),
        ([("age", "30")], 0, 30),
        ([("age", "30")], 7, 37),
        ([("age", "30, 90")], 0, 30),
        ([("age", "30"), ("age", "90")], 0, 30),
        ([("age", "x")], 0, 0),
        ([("age", "-30")], 0, 0),
        ([("date", http_date(NOW - 40))], 0, 40),
        ([("date", http_date(NOW - 40)), ("age", "30")], 5, 40),
        ([("date", http_date(NOW + 40))], 0, 0),
        ([("date", "yesterday")], 3, 3),
    ],
)
def test_age(lines: list[tuple[str, str]], took: float, age: float) -> None:
    stored = head(*lines, took=took)
    assert stored.current_age(NOW) == pytest.approx(age)
    assert stored.current_age(NOW + 100) == pytest.approx(age + 100)


@given(st.integers(0, 2**31), st.integers(0, 2**31), LATER)
def test_a_response_is_fresh_until_its_age_reaches_its_lifetime(lifetime: int, age: int, later: float) -> None:
    stored = head(("cache-control", f"max-age={lifetime}"), ("age", str(age)))
    assert stored.is_fresh(NOW + later) == (age + (NOW + later - NOW) < lifetime)


@given(st.lists(st.sampled_from([
    ("cache-control", "max-age=60"), ("cache-control", "s-maxage=9"), ("expires", http_date(NOW + 60)),
    ("cache-control", "no-cache"), ("age", "5"), ("date", http_date(NOW - 9)), ("date", "x"), ("vary", "accept"),
    ("last-modified", http_date(NOW - 99999)), ("cache-control", "x\x00,=,,\"\\"), ("expires", "\xff"),
]), max_size=6), LATER, LATER)  # fmt: skip
def test_what_is_stale_stays_stale(lines: list[tuple[str, str]], first: float, second: float) -> None:
    stored = head(*lines)
    first, second = sorted((first, second))
    assert stored.is_fresh(NOW + first) or not stored.is_fresh(NOW + second)


def test_where_the_clock_was_set_back_nothing_is_fresh() -> None:
    assert not head(("cache-control", "max-age=60")).is_fresh(NOW - 1)


@pytest.mark.parametrize("lines", [
    [("cache-control", "max-age=60, no-cache")], [("cache-control", 'max-age=60, no-cache="etag"')],
    [("cache-control", "max-age=60"), ("vary", "accept, *")], [("cache-control", "immutable")],
])  # fmt: skip
def test_not_fresh(lines: list[tuple[str, str]]) -> None:
    assert not head(*lines).is_fresh(NOW)


def test_immutable_and_must_revalidate_do_not_change_the_lifetime() -> None:
    stored = head(("cache-control", "max-age=60, immutable, must-revalidate"))
    assert stored.is_fresh(NOW + 59)
    assert not stored.is_fresh(NOW + 60)


def test_no_store_and_private() -> None:
    assert not head(("cache-control", "No-Store")).may_be_stored()
    assert head(("cache-control", "no-store, must-understand")).may_be_stored()
    assert not head(("cache-control", "no-store, must-understand"), status=599).may_be_stored()
    assert head(("cache-control", "max-age=1, x=no-store")).may_be_stored()
    assert head(("cache-control", 'private="set-cookie"')).is_private()
    assert not head(("cache-control", "public")).is_private()
    assert head(("vary", "Cookie , Accept"), ("vary", "X")).vary() == {"cookie", "accept", "x"}


OLD, JUST_NOW = http_date(NOW - 60), http_date(NOW)


@pytest.mark.parametrize(
    ("lines", "conditions"),
    [
        ([("etag", '"a"')], [("If-None-Match", '"a"')]),
        ([("etag", 'W/"a"')], [("If-None-Match", 'W/"a"')]),
        ([("etag", "a")], []),
        ([("etag", '"a"\r\nX: y')], []),
        ([("etag", '"a"'), ("etag", '"b"')], []),
        ([("last-modified", OLD), ("date", JUST_NOW)], [("If-Modified-Since", OLD)]),
        ([("last-modified", JUST_NOW), ("date", JUST_NOW)], []),
        ([("last-modified", OLD)], []),
        ([("last-modified", "x\r\ny: z"), ("date", JUST_NOW)], []),
        ([("etag", '"a"'), ("last-modified", OLD)], [("If-None-Match", '"a"'), ("If-Modified-Since", OLD)]),
        ([], []),
    ],
)
def test_conditions(lines: list[tuple[str, str]], conditions: list[tuple[str, str]]) -> None:
    assert list(head(*lines).conditions()) == conditions


def test_a_304_replaces_the_fields_that_it_has() -> None:
    stored = head(("etag", '"a"'), ("cache-control", "max-age=1"), ("expires", "0"), ("date", OLD))
    answer = StoredHead(
        304, (("cache-control", "max-age=9"), ("etag", 'W/"a"'), ("date", JUST_NOW)), NOW + 50, NOW + 50
    )
    freshened = stored.freshened(answer)
    assert freshened is not None
    assert freshened.status == 200
    assert freshened.received_at == NOW + 50
    assert sorted(freshened.lines) == sorted((*answer.lines, ("expires", "0")))
    assert stored.freshened(StoredHead(304, (("etag", '"b"'),), NOW, NOW)) is None
    assert head().freshened(StoredHead(304, (("etag", '"b"'),), NOW, NOW)) is None


def test_directives() -> None:
    assert cache_directives(['a, B=1 , c="x, \\"y" z,, =, d', "a=2"]) == {
        "a": ["", "2"], "b": ["1"], "c": ['x, \\"y'], "d": [""],
    }  # fmt: skip


@given(st.text(), st.lists(st.text(), max_size=3), st.floats(0, 1e11))
def test_whatever_the_fields_nothing_fails(name: str, values: list[str], now: float) -> None:
    for field in ("age", "cache-control", "date", "etag", "expires", "last-modified", "vary", name):
        stored = StoredHead(200, tuple((field, value) for value in values), now, now)
        stored.is_fresh(now)
        stored.conditions()
        stored.freshened(stored)

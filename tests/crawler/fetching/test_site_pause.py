from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.crawler.fetching.site_pause import SitePause

NOW = 1_795_468_200.0


def left(status: int, *fields: tuple[str, str]) -> float:
    site_pause = SitePause(lambda: NOW)
    site_pause.note(Reply(status, fields, b""))
    return site_pause.seconds_left()


@pytest.mark.parametrize(
    ("status", "fields", "seconds"),
    [
        (429, (), 2),
        (429, (("retry-after", "10"),), 10),
        (429, (("retry-after", "0"),), 1),
        (429, (("retry-after", "soon"),), 2),
        (429, (("retry-after", "99999999999999999999"),), 120),
        (429, (("retry-after", "Mon, 23 Nov 2026 21:10:30 GMT"),), 30),
        (429, (("retry-after", "Mon, 23 Nov 2020 21:10:30 GMT"),), 1),
        (503, (("retry-after", "10"),), 10),
        (503, (), 0),
        (200, (("retry-after", "10"),), 0),
        (403, (("retry-after", "10"),), 0),
        # A companion speaks of one copy or one node.
        (503, (("retry-after", "1"), ("content-type", "application/problem+json")), 0),
        (429, (("retry-after", "1"), ("lbc-node", "n1")), 0),
    ],
)
def test_what_pauses_a_site(status: int, fields: tuple[tuple[str, str], ...], seconds: float) -> None:
    assert left(status, *fields) == seconds


def test_pauses_grow_until_the_site_answers() -> None:
    now = [0.0]
    site_pause = SitePause(lambda: now[0])
    pauses = []
    for _ in range(8):
        site_pause.note(Reply(429, (), b""))
        site_pause.note(Reply(429, (), b""))  # an answer to a request that was under way
        pauses.append(site_pause.seconds_left())
        now[0] += site_pause.seconds_left()
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120]
    site_pause.note(Reply(200, (), b""))
    site_pause.note(Reply(429, (), b""))
    assert site_pause.seconds_left() == 2


@given(st.text(max_size=30))
def test_any_value_is_bounded(value: str) -> None:
    assert 1 <= left(429, ("retry-after", value)) <= 120


def test_only_a_longer_pause_is_reported() -> None:
    """Other crawlers are notified of it; their own pauses are not reported again."""
    site_pause, reported = SitePause(lambda: NOW), list[float]()
    site_pause.on_pause = reported.append
    for seconds in (10, 5, 10, 20):
        site_pause.note(Reply(429, (("retry-after", str(seconds)),), b""))
    site_pause.extend(60)
    site_pause.note(Reply(429, (("retry-after", "30"),), b""))
    site_pause.note(Reply(200, (), b""))
    assert reported == [10, 20]

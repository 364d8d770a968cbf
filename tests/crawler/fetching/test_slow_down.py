from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.crawler.fetching.slow_down import SlowDown

NOW = 1_795_468_200.0


def left(status: int, *fields: tuple[str, str]) -> float:
    slow_down = SlowDown(lambda: NOW)
    slow_down.note(Reply(status, fields, b""))
    return slow_down.seconds_left()


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
    slow_down = SlowDown(lambda: now[0])
    pauses = []
    for _ in range(8):
        slow_down.note(Reply(429, (), b""))
        slow_down.note(Reply(429, (), b""))  # an answer to a request that was under way
        pauses.append(slow_down.seconds_left())
        now[0] += slow_down.seconds_left()
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120]
    slow_down.note(Reply(200, (), b""))
    slow_down.note(Reply(429, (), b""))
    assert slow_down.seconds_left() == 2


@given(st.text(max_size=30))
def test_any_value_is_bounded(value: str) -> None:
    assert 1 <= left(429, ("retry-after", value)) <= 120

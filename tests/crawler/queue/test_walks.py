from __future__ import annotations

import random

import pytest

from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.crawler.queue.search import Position, Search
from lbcompanion.crawler.queue.walks import Walk, Walks
from tests.support.recording_rows import Steps, add, opened, row_of


@pytest.mark.slow
def test_walks_are_what_a_list_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbcompanion.crawler.queue.search._FIRST_PIECE", 4)
    monkeypatch.setattr("lbcompanion.crawler.queue.search._MAX_PIECE", 9)
    for seed in range(3):
        chance = random.Random(seed)
        rows = [
            row_of(
                number,
                {
                    "visitor": chance.choice((None, "v1ann", "v1bob", "v1eve")),
                    "viewed_at": chance.choice((1.0, 2.0, 3.0, 4.0)),
                    "erasure": chance.choice((None, None, 7)),
                },
            )
            for number in range(1, 41)
        ]
        database = opened()
        add(database, rows)
        shown = sorted((row["viewed_at"], row["id"], row) for row in rows if row["visitor"] and not row["erasure"])
        expected: dict[str, Walk] = {}
        for at, _, row in reversed(shown):
            times = [one["viewed_at"] for _, _, one in shown if one["visitor"] == row["visitor"]]
            expected.setdefault(row["visitor"], Walk(row["visitor"], times[0], at, len(times)))
        walks = Walks(database, Search(database, Steps(), 0.0))
        found, after = list[Walk](), None
        while True:
            page, where = walks.page(Filters(), 2, after, None)
            found, after = found + page, where.next
            if after is None:
                break
        assert found == list(expected.values())
        for visitor in expected:
            tokens = [row["token"] for _, _, row in shown if row["visitor"] == visitor]
            steps, position = list[str](), None
            while True:
                part = walks.steps(visitor, 3, after=position)
                steps += [row["token"] for row in part.rows]
                position = part.next
                if position is None:
                    break
            assert steps == tokens
        database.close()


def test_an_unknown_visitor() -> None:
    database = opened()
    walks = Walks(database, Search(database))
    assert walks.walk("v1ann") is None
    assert walks.steps("v1ann", 3).rows == ()
    assert walks.steps("v1ann", 3, before=Position(1.0, 1)).rows == ()
    assert walks.neighbours({"visitor": None}) == (None, None)
    database.close()

from __future__ import annotations

from lbcompanion.crawler.activity import ARCHIVED, LOST, SEEN, Activity, Bucket, Counts
from lbcompanion.model import LossCode


def test_pages_are_counted_by_minute_node_and_outcome() -> None:
    activity = Activity()
    activity.seen("n1", 119.9)
    activity.seen("n1", 120.0)
    activity.archived("n1", 130.0, viewed_at=125.0, attempts=2, size=10)
    activity.archived("n1", 140.0, viewed_at=139.5, attempts=1, size=20)
    activity.lost("n2", 130.0, reason=LossCode.NOT_RECORDABLE.label, attempts=3)
    assert activity.take() == {
        Bucket(60, 60, "n1", SEEN): Counts(1),
        Bucket(120, 60, "n1", SEEN): Counts(1),
        Bucket(120, 60, "n1", ARCHIVED): Counts(2, 3, 30, 5.5, [1, 2, 2, 2]),
        Bucket(120, 60, "n2", LOST, "not recordable"): Counts(1, 3),
    }
    assert activity.take() == {}


def test_a_clock_that_runs_ahead_makes_no_negative_delay() -> None:
    activity = Activity()
    activity.archived("n1", 100.0, viewed_at=900.0, attempts=1, size=1)
    assert [each.delay for each in activity.take().values()] == [0]


def test_what_is_given_back_is_added_to_what_came_since() -> None:
    activity = Activity()
    activity.seen("n1", 0.0)
    taken = activity.take()
    activity.seen("n1", 1.0)
    activity.give_back(taken)
    assert activity.take() == {Bucket(0, 60, "n1", SEEN): Counts(2)}

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from lbcompanion.crawler.outcome_watch import LOOK_SECONDS, TRIM_SECONDS, OutcomeWatch
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.outcomes import Extent
from lbcompanion.settings import OutcomesTable
from tests.support.simulated_farm import immediately

DAY = 86400.0


class Numbers:
    """Outcomes of which only the numbers are there."""

    last = 3
    fails = False

    def __init__(self) -> None:
        self.trimmed: list[tuple[float, float, int]] = []

    def number(self) -> Extent:
        if self.fails:
            raise BacklogError("it is away")
        return Extent("0a0a0a0a", 0, self.last)

    def trim(self, *given: Any) -> int:
        self.trimmed.append(given)
        return 0


class Seen:
    def __init__(self) -> None:
        self.ends: list[int] = []

    def look(self, extent: Extent) -> None:
        self.ends.append(extent.last)


def test_the_database_is_asked_while_there_are_followers() -> None:
    clock, numbers = Clock(), Numbers()
    outcomes: Any = numbers
    watch = OutcomeWatch(outcomes, OutcomesTable(), defer=immediately, reactor=clock, now=lambda: 10 * DAY)
    one, two = Seen(), Seen()
    watch.follow(one)
    watch.follow(two)
    clock.advance(LOOK_SECONDS)
    watch.leave(two)
    watch.leave(two)
    numbers.fails = True
    clock.advance(LOOK_SECONDS)
    numbers.fails, numbers.last = False, 4
    clock.advance(LOOK_SECONDS)
    assert (one.ends, two.ends) == ([3, 4], [3])
    watch.leave(one)
    assert not clock.getDelayedCalls()
    watch.follow(one)
    watch.start()
    clock.advance(TRIM_SECONDS)
    assert numbers.trimmed == [(10 * DAY, 7 * DAY, 100000)] * 2
    watch.stop()
    assert not clock.getDelayedCalls()


def test_a_follower_that_fails_keeps_no_outcome_from_the_others() -> None:
    class Failing(Seen):
        def look(self, extent: Extent) -> None:
            super().look(extent)
            raise ZeroDivisionError("a defect")

    clock, numbers, counted = Clock(), Numbers(), list[str]()
    outcomes: Any = numbers
    watch = OutcomeWatch(
        outcomes,
        OutcomesTable(),
        defer=immediately,
        reactor=clock,
        now=lambda: 0.0,
        count_error=lambda what, _error: counted.append(what),
    )
    failing, other = Failing(), Seen()
    watch.follow(failing)
    watch.follow(other)
    clock.advance(LOOK_SECONDS)
    clock.advance(LOOK_SECONDS)
    assert (failing.ends, other.ends) == ([3, 3], [3, 3])
    assert counted == ["outcomes", "outcomes"]
    watch.stop()

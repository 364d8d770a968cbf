"""The choice of connections that are closed, with a pool of plain values; test_upstream.py has the whole pool."""

from __future__ import annotations

import pytest
from attrs import define
from twisted.internet.task import Clock

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.connection_eviction import (
    BEYOND_SECONDS,
    MIN_IDLE_SECONDS,
    STALLED_SECONDS,
    UNANSWERED_SECONDS,
    WINDOW_SECONDS,
    ConnectionEviction,
)


@define(eq=False)
class _Dialled:
    """A connection that is in use."""

    unanswered: bool = True
    request_number: int = 0
    kept: bool = False
    user: object = "a user"


class _Pool:
    """A pool with idle connections, by the time since when they are idle."""

    def __init__(self, max_open: int = 0) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.log: list[str] = []
        self.open = 0
        self.waiting = 0
        self.idle: list[float] = []
        self.dialled: list[str] = []
        self.eviction: ConnectionEviction[_Dialled] = ConnectionEviction(
            self,
            max_open=max_open,
            monotonic=self.clock.seconds,
            call_later=self.clock.callLater,
            counters=self.counters,
            log=lambda event, detail: self.log.append(event),
        )

    def longest_idle_since(self) -> float | None:
        return self.idle[0] if self.idle else None

    def close_longest_idle(self) -> None:
        del self.idle[0]
        self.open -= 1

    def dial_for_first(self) -> None:
        self.dialled.append("first")
        self.waiting -= 1

    def dial_for_waiting(self, *, all_of_them: bool = False) -> None:
        self.dialled.append("all" if all_of_them else "up to the limit")
        self.waiting = 0

    def dial(self) -> _Dialled:
        self.open += 1
        self.counters.upstream_connections += 1
        upstream = _Dialled(request_number=self.eviction.requests_served)
        self.eviction.dialled(upstream)
        return upstream

    def answer(self, upstream: _Dialled) -> None:
        upstream.unanswered = False
        self.eviction.first_answer(upstream)


@pytest.mark.parametrize(("accepted", "patience"), [(4, UNANSWERED_SECONDS), (3, BEYOND_SECONDS)])
def test_idle_connections_are_closed_one_by_one_with_a_doubled_delay(accepted: int, patience: float) -> None:
    """The delay is short for a connection beyond those that were ever accepted at once."""
    pool = _Pool()
    for _ in range(accepted):
        pool.answer(pool.dial())
    pool.idle, pool.open = [0.0] * 3, 3
    pool.dial()
    closed_at = []
    for step in range(400):
        before = len(pool.idle)
        pool.clock.advance(0.001)
        closed_at += [step] * (before - len(pool.idle))
    assert len(closed_at) == 3
    first, second, third = closed_at
    assert abs(first - 1000 * patience) < 3
    assert abs((third - second) - 2 * (second - first)) < 6
    assert pool.counters.upstream_made_way == 3


def test_a_connection_that_is_answered_needs_no_other() -> None:
    pool = _Pool()
    pool.idle, pool.open = [0.0], 1
    pool.answer(pool.dial())
    pool.clock.advance(1.0)
    assert pool.idle
    assert not pool.eviction.is_overdue(pool.clock.seconds())


def test_a_connection_that_became_idle_just_now_is_left_alone_for_a_moment() -> None:
    pool = _Pool()
    pool.dial()
    pool.clock.advance(2 * UNANSWERED_SECONDS)
    pool.idle, pool.open = [pool.clock.seconds()], 2
    pool.eviction.became_idle()
    pool.clock.advance(MIN_IDLE_SECONDS / 2)
    assert pool.idle
    pool.clock.advance(MIN_IDLE_SECONDS)
    assert not pool.idle


def test_a_used_connection_makes_way_after_two_rounds_of_the_others() -> None:
    pool = _Pool()
    used = pool.dial()
    pool.answer(used)
    pool.dial()
    pool.clock.advance(2 * UNANSWERED_SECONDS)
    pool.counters.upstream_reused += 2
    assert not pool.eviction.should_evict(used)
    pool.counters.upstream_reused += 2
    assert pool.eviction.should_evict(used)


def test_a_queue_that_stands_still_is_dialled_for() -> None:
    pool = _Pool()
    pool.eviction.limit = 2  # as estimated
    pool.waiting = 1
    pool.eviction.queued()
    pool.clock.advance(STALLED_SECONDS / 2)
    pool.counters.upstream_reused += 1
    pool.clock.advance(STALLED_SECONDS)
    assert pool.dialled == []
    pool.clock.advance(STALLED_SECONDS)
    assert pool.dialled == ["all"]


def test_the_window_doubles_while_a_queue_stands_still() -> None:
    pool = _Pool()
    for _ in range(8):
        assert pool.eviction.may_dial()
        pool.dial()
    assert not pool.eviction.may_dial()
    pool.waiting = 1
    pool.eviction.queued()
    pool.clock.advance(WINDOW_SECONDS / 2)
    pool.counters.upstream_reused += 1
    pool.clock.advance(WINDOW_SECONDS)
    assert pool.dialled == []
    pool.clock.advance(WINDOW_SECONDS)
    assert pool.dialled == ["up to the limit"]
    assert pool.eviction.may_dial()


def test_a_queue_does_not_stand_still_because_this_process_was_busy() -> None:
    """Its clock went on, but it has not read the answers that came meanwhile."""
    pool = _Pool()
    calls = []
    pool.eviction._call_later = lambda seconds, function: calls.append((seconds, function))
    pool.waiting = 1
    pool.eviction.queued()
    ((seconds, late),) = calls
    assert seconds == WINDOW_SECONDS
    late()
    pool.counters.upstream_reused += 1  # the answers are read
    _, (seconds, after) = calls
    assert seconds == 0
    after()
    assert pool.dialled == []


def test_a_used_connection_makes_way_at_once_for_one_beyond_those_ever_accepted() -> None:
    pool = _Pool()
    used = pool.dial()
    pool.answer(used)
    pool.dial()
    pool.counters.upstream_reused += 3
    assert not pool.eviction.should_evict(used)
    pool.counters.upstream_reused += 1
    assert pool.eviction.should_evict(used)
    assert pool.counters.upstream_made_way == 1


def test_a_used_connection_stays_where_as_many_were_accepted_before() -> None:
    pool = _Pool()
    used, other = pool.dial(), pool.dial()
    pool.answer(used)
    pool.answer(other)
    pool.open -= 1
    pool.eviction.closed(other)
    pool.dial()
    pool.counters.upstream_reused += 100
    assert not pool.eviction.should_evict(used), "a page is slow"


def test_a_queue_at_a_configured_limit_is_not_dialled_for() -> None:
    pool = _Pool(max_open=2)
    pool.waiting = 1
    pool.eviction.queued()
    pool.answer(pool.dial())
    pool.clock.advance(10 * STALLED_SECONDS)
    assert pool.dialled == []
    assert (pool.eviction.limit, pool.eviction.workers) == (2, 0)


def test_a_defect_in_a_check_does_not_end_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _Pool()
    pool.idle, pool.open = [0.0] * 3, 3
    pool.dial()
    real, failures = pool.close_longest_idle, [ZeroDivisionError("a defect")]

    def close() -> None:
        if failures:
            raise failures.pop()
        real()

    monkeypatch.setattr(pool, "close_longest_idle", close)
    with pytest.raises(ZeroDivisionError):  # a reactor logs it
        pool.clock.advance(1)
    assert len(pool.idle) == 3
    for _ in range(100):
        pool.clock.advance(1)
    assert not pool.idle


@pytest.mark.parametrize("open_at_a_time", [1, 2, 100])
def test_closed_connections_are_not_kept(open_at_a_time: int) -> None:
    """The application keeps no connection, so none is ever idle."""
    pool = _Pool()
    in_use: list[_Dialled] = []
    for _ in range(5000):
        in_use.append(pool.dial())
        if len(in_use) == open_at_a_time:
            first = in_use.pop(0)
            pool.answer(first)
            first.user = None
            pool.open -= 1
            pool.eviction.closed(first)
    assert len(pool.eviction._unanswered) <= max(64, 2 * open_at_a_time)

"""Bursts of requests through the pool, in front of applications of known kinds: a model, without CPU time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from lbcompanion.node.proxy.connection_eviction import STALLED_SECONDS, WINDOW_SECONDS
from tests.support.application_kinds import Application, Burst, Prefork, SyncWorkers, Threads, Visitor

pytestmark = pytest.mark.slow

_REQUESTS = 256
_AT_ONCE = 64
#: Three doublings of the window, from 8 to 64, and what the steps of the model's clock add.
_WINDOW_OPENS_SECONDS = 3 * WINDOW_SECONDS + 0.003


def _started(make: Callable[[Clock], Application]) -> Burst:
    """A companion that has forwarded a few requests, one after the other."""
    burst = Burst(make)
    burst.run(4, 1)
    burst.pause(0.3)
    return burst


_few = pytest.mark.parametrize(
    ("workers", "kind"), [(8, Prefork), (2, Prefork), (4, Threads), (4, SyncWorkers)], ids=str
)


@_few
@pytest.mark.parametrize("seconds", [0.001, 0.004, 0.01, 0.1])
def test_few_workers_are_busy_from_the_first_burst(workers: int, kind: type[Prefork], seconds: float) -> None:
    burst = _started(lambda clock: kind(clock, seconds, workers))
    shortest = _REQUESTS * seconds / workers
    for _ in range(3):
        assert burst.run(_REQUESTS, _AT_ONCE) <= 1.25 * shortest + 0.005
        burst.pause(0.3)
    assert burst.pool.workers == (workers if kind.keeps else 0)
    assert burst.pool.open == burst.pool.idle


@_few
def test_the_first_burst_of_fast_responses_is_fair_and_makes_few_connections(workers: int, kind: type[Prefork]) -> None:
    burst = _started(lambda clock: kind(clock, 0.001, workers))
    seconds = burst.run(_REQUESTS, _AT_ONCE)
    assert max(burst.waits) <= 2 * seconds * _AT_ONCE / _REQUESTS
    if kind.keeps:
        # The first window, two windows after its responses, and those with which the number of workers is learned.
        assert burst.connections <= 8 + 2 * workers + 8


@pytest.mark.parametrize(("workers", "kind"), [(16, Prefork), (16, Threads), (32, Prefork)], ids=str)
@pytest.mark.parametrize("seconds", [0.001, 0.004])
def test_the_last_of_a_short_first_burst_do_not_wait_for_idle_connections(
    workers: int, kind: type[Prefork], seconds: float
) -> None:
    """The burst ends before the number of workers is known."""
    burst = _started(lambda clock: kind(clock, seconds, workers))
    shortest = _REQUESTS * seconds / workers
    assert burst.run(_REQUESTS, _AT_ONCE) <= shortest + 0.018


def test_requests_wait_for_workers_that_keep_no_connection_in_the_first_burst_only() -> None:
    burst = _started(lambda clock: SyncWorkers(clock, 0.001, 4))
    burst.run(_REQUESTS, _AT_ONCE)
    waited = burst.counters.upstream_waited
    assert waited > 0
    burst.run(_REQUESTS, _AT_ONCE)
    assert burst.counters.upstream_waited == waited


@pytest.mark.parametrize("seconds", [0.001, 0.004, 0.01, 0.1, 2.0])
def test_an_application_that_accepts_all_is_held_back_for_a_moment_once(seconds: float) -> None:
    burst = _started(lambda clock: Application(clock, seconds))
    burst.run(_REQUESTS, _AT_ONCE)
    assert max(burst.waits) <= seconds + _WINDOW_OPENS_SECONDS
    waited = burst.counters.upstream_waited
    burst.pause(0.3)
    burst.run(_REQUESTS, _AT_ONCE)
    assert max(burst.waits) <= seconds + 0.001
    assert burst.counters.upstream_waited == waited
    assert burst.pool.workers == 0


def test_after_a_quiet_time_an_application_that_accepts_all_is_not_held_back() -> None:
    burst = _started(lambda clock: Application(clock, 0.01))
    burst.run(_REQUESTS, _AT_ONCE)
    burst.pause(10.0)
    assert burst.pool.open == 0
    burst.run(_REQUESTS, _AT_ONCE)
    assert max(burst.waits) <= 0.011


def test_few_visitors_at_a_time_never_wait() -> None:
    burst = Burst(lambda clock: Application(clock, 0.05))
    for _ in range(5):
        burst.run(40, 8)
        burst.pause(3.0)
    assert burst.counters.upstream_waited == 0
    assert max(burst.waits) <= 0.051


@_few
def test_a_minute_of_slow_responses_does_no_lasting_harm(workers: int, kind: type[Prefork]) -> None:
    """The database is slow for a while: nobody waits although a worker is free, then or afterwards."""
    burst = _started(lambda clock: kind(clock, 0.001, workers))
    burst.run(_REQUESTS, _AT_ONCE)
    for seconds, requests in ((1.0, 60 * workers), (0.001, _REQUESTS), (0.001, _REQUESTS)):
        burst.application.seconds = seconds
        assert burst.run(requests, _AT_ONCE) <= 1.25 * requests * seconds / workers + 0.01
        burst.pause(0.3)


def test_a_minute_of_slow_responses_holds_nothing_back_where_all_are_accepted() -> None:
    burst = _started(lambda clock: Application(clock, 0.001))
    burst.run(_REQUESTS, _AT_ONCE)
    for seconds in (1.0, 0.001):
        burst.application.seconds = seconds
        burst.run(_REQUESTS, 2 * _AT_ONCE)
        assert max(burst.waits) <= seconds + _WINDOW_OPENS_SECONDS
    assert burst.pool.workers == 0


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1])
def test_more_workers_than_before_are_used_soon(seconds: float) -> None:
    """The application was reloaded with more workers."""
    burst = _started(lambda clock: Prefork(clock, 0.001, 4))
    burst.run(_REQUESTS, _AT_ONCE)
    assert burst.pool.workers == 4
    assert isinstance(burst.application, Prefork)
    burst.application.workers, burst.application.seconds = 1000, seconds
    burst.pause(0.3)
    burst.run(_REQUESTS, _AT_ONCE)
    # A probe is made after 32 requests for each worker at the latest, unless the queue stands still before.
    found = 33 * seconds if seconds < STALLED_SECONDS else STALLED_SECONDS
    assert max(burst.waits) <= found + 3 * seconds + _WINDOW_OPENS_SECONDS
    assert burst.pool.workers == 0
    burst.run(_REQUESTS, _AT_ONCE)
    assert max(burst.waits) <= seconds + 0.001


def test_slow_requests_on_new_connections_cost_few_kept_ones() -> None:
    """Forms that take half a second, while other visitors are served quickly by an application that accepts all."""
    burst = _started(lambda clock: Application(clock, 0.001))
    burst.run(_REQUESTS, 8)
    before = burst.counters.upstream_made_way
    for _ in range(20):
        burst.application.seconds = 0.5
        Visitor(burst, fresh=True)
        burst.application.seconds = 0.001
        burst.run(_REQUESTS, 8)
        burst.pause(0.5)
    assert burst.pool.workers == 0
    # After 50, 150 and 350 ms.
    assert burst.counters.upstream_made_way - before <= 3 * 20


@pytest.mark.parametrize("polls", [1, 8, 20, 100])
def test_long_polls_from_the_start_hold_nobody_back(polls: int) -> None:
    """They occupy the first window, and are not answered."""
    burst = Burst(lambda clock: Application(clock, 0.001))
    burst.run(2, 2)
    burst.application.seconds = 60.0
    for _ in range(polls):
        Visitor(burst)
    while burst.pool.waiting:
        burst.clock.advance(WINDOW_SECONDS)
    burst.application.seconds = 0.001
    for _ in range(3):
        burst.run(_REQUESTS, 16)
        assert max(burst.waits) <= 2 * _WINDOW_OPENS_SECONDS
    assert burst.pool.workers == 0


def test_long_polls_hold_some_workers_only() -> None:
    burst = _started(lambda clock: Prefork(clock, 0.001, 8))
    burst.application.seconds = 60.0
    for _ in range(3):
        Visitor(burst)
    burst.application.seconds = 0.001
    for _ in range(3):
        assert burst.run(_REQUESTS, _AT_ONCE) <= 1.25 * _REQUESTS * 0.001 / 5 + 0.005
        burst.pause(0.3)


def test_an_application_that_cannot_be_reached_leaves_nobody_in_the_queue() -> None:
    """Connections are not established; the companion gives each up after a while."""
    burst = Burst(lambda clock: Application(clock, 0.001))
    dialled: list[object] = []
    burst.pool._dial = dialled.append
    for _ in range(_AT_ONCE):
        Visitor(burst)
    for _ in range(8):
        burst.clock.advance(WINDOW_SECONDS)
    assert (len(dialled), burst.pool.waiting) == (_AT_ONCE, 0)


def test_after_an_estimate_was_withdrawn_few_connections_are_made_and_the_next_estimate_comes() -> None:
    burst = _started(lambda clock: Prefork(clock, 0.001, 4))
    burst.run(_REQUESTS, _AT_ONCE)
    assert isinstance(burst.application, Prefork)
    burst.application.workers = 5
    seen = []
    while burst.clock.seconds() < 3.0:
        assert burst.run(_REQUESTS, _AT_ONCE) <= 1.25 * _REQUESTS * 0.001 / 4 + 0.005
        assert burst.connections <= 24
        seen.append(burst.pool.workers)
        burst.pause(0.05)
    assert 0 in seen
    assert seen[-5:] == [5] * 5

"""The estimate of how many connections the application serves at a time, against applications of known kinds."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.proxy.worker_estimate import WorkerEstimate


class _Application:
    """Accepts connections in order while it has a free worker; a worker keeps its connection until it is closed.

    :param silent: connections (by number) that it accepts but never answers.
    """

    def __init__(self, estimate: WorkerEstimate[int], workers: int, silent: frozenset[int] = frozenset()) -> None:
        self.estimate = estimate
        self.workers = workers
        self._silent = silent
        self._made = 0
        self.queue: deque[int] = deque()
        self.accepted: list[int] = []
        self.answered: list[int] = []
        self.too_small = False

    @property
    def open(self) -> int:
        return len(self.queue) + len(self.accepted)

    def dial(self, count: int) -> None:
        for _ in range(count):
            self._made += 1
            self.estimate.dialled(self._made)
            self.queue.append(self._made)

    def serve(self, order: list[int]) -> None:
        """Accept what can be accepted, and answer it.

        :param order: numbers that decide about the order of the answers."""
        new = []
        while self.queue and len(self.accepted) < self.workers:
            new.append(self.queue.popleft())
            self.accepted.append(new[-1])
        for number in order:
            if new:
                self._answer(new.pop(number % len(new)))
        for connection in new:
            self._answer(connection)

    def _answer(self, connection: int) -> None:
        if connection not in self._silent:
            self.answered.append(connection)
            self.too_small |= self.estimate.answered(connection, self.open)

    def close_one(self) -> None:
        """Close an answered connection for one that waits."""
        if self.answered:
            self.estimate.evicted(self.open)
            connection = self.answered.pop(0)
            self.accepted.remove(connection)
            self.estimate.closed(connection)


_orders = st.lists(st.integers(0, 100), max_size=8)


@given(st.integers(1, 20), st.integers(1, 8), _orders)
def test_workers_that_keep_connections_are_counted(workers: int, at_once: int, order: list[int]) -> None:
    estimate: WorkerEstimate[int] = WorkerEstimate()
    application = _Application(estimate, workers)
    application.dial(4 * workers + 20)
    while application.queue:
        application.serve(order)
        for _ in range(min(at_once, len(application.queue))):
            application.close_one()
    assert estimate.workers == workers
    assert estimate.changes == 1
    assert not application.too_small
    assert not estimate.withdraw(application.open)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), _orders), max_size=40), st.integers(1, 12))
def test_no_estimate_exceeds_the_workers(steps: list[tuple[int, int, list[int]]], workers: int) -> None:
    """For any sequence of events: each connection that is counted as accepted was accepted."""
    estimate: WorkerEstimate[int] = WorkerEstimate()
    application = _Application(estimate, workers)
    for dials, closings, order in steps:
        application.dial(dials)
        application.serve(order)
        for _ in range(closings):
            application.close_one()
        assert estimate.workers <= workers
        assert estimate.unaccepted >= len(application.queue)
        assert estimate.closed_for_waiting >= 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), _orders), max_size=40))
def test_an_application_that_accepts_all_has_no_estimate(steps: list[tuple[int, int, list[int]]]) -> None:
    """Connections that nothing is sent on (long polls) are known to be accepted by the answer on a younger one."""
    estimate: WorkerEstimate[int] = WorkerEstimate()
    application = _Application(estimate, 10**6, silent=frozenset(range(0, 1000, 3)))
    for dials, closings, order in steps:
        application.dial(dials)
        application.serve(order)
        for _ in range(closings):
            application.close_one()
    # As many connections are closed as are not answered: nothing follows from that.
    assert estimate.workers == 0


def test_long_polls_occupy_workers() -> None:
    estimate: WorkerEstimate[int] = WorkerEstimate()
    application = _Application(estimate, 6, silent=frozenset({1, 2, 3}))
    application.dial(60)
    while application.queue:
        application.serve([])
        application.close_one()
    assert estimate.workers == 6


def test_an_estimate_that_is_too_small_is_withdrawn() -> None:
    estimate: WorkerEstimate[int] = WorkerEstimate()
    application = _Application(estimate, 2)
    application.dial(30)
    while application.queue:
        application.serve([])
        application.close_one()
    assert estimate.workers == 2
    application.workers = 3
    application.dial(2)
    application.serve([])
    assert application.too_small
    assert not estimate.withdraw(2), "one was closed meanwhile"
    assert estimate.withdraw(3)
    assert (estimate.workers, estimate.changes) == (0, 2)


def test_next_in_line() -> None:
    estimate: WorkerEstimate[int] = WorkerEstimate()
    assert estimate.oldest_unaccepted() is None
    for number in (1, 2, 3):
        estimate.dialled(number)
    assert estimate.oldest_unaccepted() == 1
    estimate.evicted(3)
    assert estimate.oldest_unaccepted() == 2
    estimate.answered(1, 3)
    assert estimate.oldest_unaccepted() == 2
    estimate.answered(3, 3)
    assert estimate.oldest_unaccepted() is None
    assert estimate.unaccepted == 0
    assert not estimate.answered(2, 3)


def test_no_estimate_while_none_may_be_made() -> None:
    estimate: WorkerEstimate[int] = WorkerEstimate()
    for number in range(40):
        estimate.dialled(number)
    estimate.answered(0, 40)
    for number in range(1, 30):
        estimate.evicted(40)
        estimate.answered(number, 40 - number, may_learn=False)
    assert estimate.workers == 0


def test_an_estimate_is_lowered_reluctantly() -> None:
    """An application that was restarted with fewer workers."""
    estimate: WorkerEstimate[int] = WorkerEstimate()
    seen = []
    for workers in (6, 3):
        application = _Application(estimate, workers)
        application.dial(60)
        while application.queue:
            application.serve([])
            application.close_one()
            seen.append(estimate.workers)
        for connection in application.accepted:
            estimate.closed(connection)
    assert [workers for workers, after in pairwise(seen) if workers != after] == [0, 6]
    assert estimate.workers == 3
    assert seen[60:].count(6) > 15

"""The limit of connections to the application, and the choice of those that are closed in favour of a new one.

An idle connection may occupy a worker of the application while a new one waits in the kernel's accept queue; the
companion cannot see that. So only a few connections may wait there at a time (:class:`.DialWindow`). And one other
connection (an idle one, or one that was reused repeatedly meanwhile) is closed for a new connection without a byte
after ``UNANSWERED_SECONDS``, the next after twice that time, and so on: a slow page costs a few connections. For a
connection beyond those that the application ever accepted at once that happens sooner.

That shows how many connections the application serves at a time, if these are few (:class:`.WorkerEstimate`). Without a
configured limit the estimate is the limit from then on; beside a configured one it only shows whether that fits. A
wrong estimate must not make visitors wait. So a probe is made beyond it from time to time, it is withdrawn when the
application accepts more, and the whole queue is dialled for when no request got a connection for ``STALLED_SECONDS``.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from lbcompanion.model import MonotonicClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.dial_window import DialWindow
from lbcompanion.node.proxy.worker_estimate import WorkerEstimate

#: A new connection without a byte for this long may be waiting for a worker that an idle connection occupies.
UNANSWERED_SECONDS = 0.05
#: The same for a connection beyond those that the application ever accepted at once.
BEYOND_SECONDS = 0.01
#: A connection that has been idle for less is likely to be reused soon.
MIN_IDLE_SECONDS = 0.005
_MIN_DELAY_SECONDS = 0.001
#: If no queued request got a connection for this long, the number of workers was perhaps estimated too small.
STALLED_SECONDS = 0.025
#: If no queued request got a connection for this long while no limit is known, the window doubles.
WINDOW_SECONDS = 0.005
#: Seconds until the next estimate after one turned out to be too small; doubled each time.
DOUBT_SECONDS = (1.0, 600.0)
# The application may have closed a connection before it answered another; the companion reads that a little later.
_RECOUNT_SECONDS = 0.002
# An application that serves its connections in turn serves each at most once before a new one.
_ROUNDS = 2
# A probe is a connection beyond the estimated number of workers. After an estimate the next probe is made at once, the
# following ones after this many requests for each worker, doubled each time.
_PROBE_ROUNDS = (2, 32)
# Entries of connections that wait for no first byte are removed when there are this many entries.
_CLEAN_UP_AT = 64


class Connection(Protocol):
    """A connection to the application.

    :ivar unanswered: whether the application has sent no byte on it yet (and has perhaps not accepted it).
    :ivar request_number: the number of the request that it was dialled for, counted over the pool.
    :ivar kept: whether the application kept it after a response.
    """

    unanswered: bool
    request_number: int
    kept: bool

    @property
    def user(self) -> object:
        """The user; None while nobody uses the connection."""
        ...

    def __hash__(self) -> int:
        """By identity."""
        ...


_Connection = TypeVar("_Connection", bound=Connection)


def _waits_for_answer(upstream: Connection) -> bool:
    """Whether a request waits for the first byte of a connection."""
    return upstream.unanswered and upstream.user is not None


class Pool(Protocol):
    """The pool of connections, as it is needed here.

    :ivar open: the number of connections in use, idle or being dialled.
    """

    open: int

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        ...

    def longest_idle_since(self) -> float | None:
        """Since when the connection is idle that has been idle longest; None if no connection is idle."""
        ...

    def close_longest_idle(self) -> None:
        """Close the connection that has been idle longest."""
        ...

    def dial_for_first(self) -> None:
        """Dial for the head of the queue."""
        ...

    def dial_for_waiting(self, *, all_of_them: bool = False) -> None:
        """Dial for queued requests: up to the limit, or for all."""
        ...


class ConnectionEviction(Generic[_Connection]):
    """The decisions for one pool.

    :param max_open: the configured limit; 0 if no limit is configured.
    :param monotonic: seconds that only go forward.
    :param call_later: ``call_later(seconds, function)``, as the reactor has it.
    :param log: ``log(event, detail)``; the estimated number of workers is logged when it has changed.
    :ivar limit: the limit that holds now: the configured one, or the estimated one; 0: no limit.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        max_open: int,
        monotonic: MonotonicClock,
        call_later: Callable[[float, Callable[[], None]], object],
        counters: Counters,
        log: Callable[[str, str], None],
    ) -> None:
        self.limit = max_open
        self._pool = pool
        self._is_configured = max_open > 0
        self._monotonic = monotonic
        self._call_later = call_later
        self._counters = counters
        self._log = log
        self._logged_workers = 0
        self._estimate: WorkerEstimate[_Connection] = WorkerEstimate()
        self._window = DialWindow()
        self._learns_at = 0.0
        self._doubt_seconds = DOUBT_SECONDS[0]
        self._probe_at = 0
        self._probe_rounds = 0
        self._stall_scheduled = False
        self._recount_scheduled = False
        # Heap: when to close another connection, a tie-breaker, the delay, the new connection (perhaps answered).
        self._unanswered: list[tuple[float, int, float, _Connection]] = []
        self._clean_up_at = _CLEAN_UP_AT
        self._order = itertools.count()
        self._check_scheduled = False

    @property
    def workers(self) -> int:
        """The estimated number of connections that the application serves at a time; 0: unknown."""
        return self._estimate.workers

    @property
    def requests_served(self) -> int:
        """How many requests got a connection since the start."""
        return self._counters.upstream_connections + self._counters.upstream_reused

    # What happens to connections.

    def dialled(self, upstream: _Connection) -> None:
        """A new connection is being made."""
        is_beyond = not self.limit and self._pool.open > self._window.proven
        self.expect_answer(upstream, BEYOND_SECONDS if is_beyond else UNANSWERED_SECONDS)
        self._estimate.dialled(upstream)

    def reused_unanswered(self, upstream: _Connection) -> None:
        """A connection gets its next request before the application has sent a byte on it."""
        upstream.request_number = self.requests_served
        self.expect_answer(upstream)

    def closed(self, upstream: _Connection) -> None:
        """A connection is closed."""
        self._estimate.closed(upstream)
        if not self._pool.open:
            self._unanswered.clear()
        if not (self.limit or upstream.unanswered or upstream.kept):
            self._window.not_kept(self._estimate.unaccepted)

    def became_idle(self) -> None:
        """A connection is idle now, and may have to make way."""
        if self._unanswered:
            self._schedule_check()

    def queued(self) -> None:
        """A request has to wait: the estimate may be wrong."""
        if not self._is_configured:
            self._schedule_stall_check()

    def may_dial(self) -> bool:
        """Whether there may be another connection that any request may use."""
        if self.limit:
            return self._pool.open < self.limit
        return self._window.allows(self._pool.open, self._estimate.unaccepted, self.requests_served)

    def first_answer(self, upstream: _Connection) -> None:
        """The application sent the first byte on a connection."""
        before = self._estimate.workers
        may_learn = self._monotonic() >= self._learns_at and not self._recount_scheduled
        if self._estimate.answered(upstream, self._pool.open, may_learn=may_learn) and not self._recount_scheduled:
            self._recount_scheduled = True
            self._call_later(_RECOUNT_SECONDS, self._recount)
        if self._is_configured:
            # The estimate only tells an operator whether the limit fits.
            return
        if self._estimate.workers != before:
            self.limit = self._estimate.workers
            self._window.estimated(self.limit)
            self._probe_at = self._probe_rounds = 0
            self._log_workers()
        elif not self.limit:
            self._window.accepted(self._accepted, is_limiting=self._pool.waiting > 0)
            if self._pool.waiting:
                self._pool.dial_for_waiting()

    # Connections that are closed.

    def should_evict(self, upstream: _Connection) -> bool:
        """Whether to close a connection that has just been used: reused connections may keep a new one unanswered."""
        if not self._unanswered:
            return False
        if not (self._is_configured or self._recount_scheduled) and self._worker_is_needed(upstream):
            self._estimate.evicted(self._pool.open)
            self._counters.upstream_made_way += 1
            if not self.limit:
                self._window.made_way(self.requests_served, may_learn=self._monotonic() >= self._learns_at)
            return True
        # Also with an estimate: another node may have taken the worker that the closed connection set free.
        overdue = self._overdue(self._monotonic())
        if overdue is None or self.requests_served - overdue.request_number < _ROUNDS * self._pool.open:
            return False
        self.count_evicted()
        return True

    def is_overdue(self, now: float) -> bool:
        """Whether an idle connection should be closed now, in favour of one that was not answered."""
        return bool(self._unanswered) and self._overdue(now) is not None

    def count_evicted(self) -> None:
        """Count a closed connection, and double the delay of the new connection it was closed for."""
        self._counters.upstream_made_way += 1
        self._estimate.evicted(self._pool.open)
        _, _, patience, upstream = heapq.heappop(self._unanswered)
        self.expect_answer(upstream, patience * 2)

    def expect_answer(self, upstream: _Connection, patience: float = UNANSWERED_SECONDS) -> None:
        """Close another connection if this one has received no byte after ``patience`` seconds."""
        if len(self._unanswered) >= self._clean_up_at:
            # If the application keeps no connection, none is ever idle, and nothing else looks at these entries.
            self._unanswered = [entry for entry in self._unanswered if _waits_for_answer(entry[3])]
            heapq.heapify(self._unanswered)
            self._clean_up_at = max(2 * len(self._unanswered), _CLEAN_UP_AT)
        heapq.heappush(self._unanswered, (self._monotonic() + patience, next(self._order), patience, upstream))
        if self._pool.longest_idle_since() is not None:
            self._schedule_check()

    def _overdue(self, now: float) -> _Connection | None:
        """The unanswered connection whose delay ends first, if it has ended."""
        while self._unanswered:
            due, _, _, upstream = self._unanswered[0]
            if _waits_for_answer(upstream):
                return upstream if due <= now else None
            heapq.heappop(self._unanswered)
        return None

    def _worker_is_needed(self, upstream: _Connection) -> bool:
        """Whether a connection that is still to be accepted seems to need the worker of a used one.

        If requests are queued, the connection serves some of them first: that costs no new connection. Without an
        estimate it always does, and there must be more connections than were ever accepted at once."""
        oldest = self._estimate.oldest_unaccepted()
        if oldest is None or upstream.unanswered:
            return False
        if self._estimate.workers:
            if not self._pool.waiting:
                return True
        elif self._pool.open <= self._window.proven:
            return False
        return self.requests_served - oldest.request_number >= _ROUNDS * self._pool.open

    def _schedule_check(self) -> None:
        """Schedule the next check for the moment when an idle connection may have to be closed."""
        idle_since = self._pool.longest_idle_since()
        if self._check_scheduled or idle_since is None or not self._unanswered:
            return
        self._check_scheduled = True
        when = max(self._unanswered[0][0], idle_since + MIN_IDLE_SECONDS)
        self._call_later(max(when - self._monotonic(), _MIN_DELAY_SECONDS), self._check)

    def _check(self) -> None:
        now = self._monotonic()
        try:
            while (
                (idle_since := self._pool.longest_idle_since()) is not None
                and idle_since + MIN_IDLE_SECONDS <= now
                and self._overdue(now) is not None
            ):
                self.count_evicted()
                self._pool.close_longest_idle()
        finally:
            self._check_scheduled = False
            self._schedule_check()

    # The estimated number of workers.

    def probe_is_due(self) -> bool:
        """Whether to dial for the head of the queue beyond the estimate.

        A fast answer shows that the estimate is too small.
        """
        is_at_estimate = self._pool.open == self._estimate.workers and not self._is_configured
        return is_at_estimate and self.requests_served >= self._probe_at

    def probe(self) -> None:
        """Dial beyond the estimate, and set the next probe."""
        self._probe_rounds = min(max(2 * self._probe_rounds, _PROBE_ROUNDS[0]), _PROBE_ROUNDS[1])
        self._probe_at = self.requests_served + self._probe_rounds * self._estimate.workers
        self._pool.dial_for_first()

    def _log_workers(self) -> None:
        workers = self._estimate.workers
        if workers != self._logged_workers:
            self._logged_workers = workers
            detail = (
                f"it seems to serve {workers} connections at a time: further requests wait in the companion; "
                "upstream_connections in [limits] would set the number"
            )
            self._log("application has few workers", detail)

    def _recount(self) -> None:
        """Withdraw the estimate if the application still serves more connections."""
        self._recount_scheduled = False
        if self._estimate.withdraw(self._pool.open) and not self._is_configured:
            self.limit = 0
            self._window.withdrawn(self._accepted)
            self._learns_at = self._monotonic() + self._doubt_seconds
            self._doubt_seconds = min(2 * self._doubt_seconds, DOUBT_SECONDS[1])
            self._pool.dial_for_waiting()

    @property
    def _accepted(self) -> int:
        """The number of connections that the application is known to have accepted."""
        return self._pool.open - self._estimate.unaccepted

    def _schedule_stall_check(self) -> None:
        if not self._stall_scheduled:
            self._stall_scheduled = True
            served, limit = self.requests_served, self.limit
            seconds = STALLED_SECONDS if limit else WINDOW_SECONDS
            self._call_later(seconds, lambda: self._after_reading(served, limit))

    def _after_reading(self, served: int, limit: int) -> None:
        """Check after the answers that are to be read are read: this process may have been busy meanwhile."""
        self._call_later(0, lambda: self._check_stall(served, limit))

    def _check_stall(self, served: int, limit: int) -> None:
        """Make more connections if no request got one meanwhile.

        The estimate may be wrong: dial for the whole queue. Without one: double the window.
        """
        self._stall_scheduled = False
        if self._pool.waiting and (served, limit) == (self.requests_served, self.limit):
            if not limit:
                self._window.stalled()
            self._pool.dial_for_waiting(all_of_them=limit > 0)
        if self._pool.waiting:
            self._schedule_stall_check()

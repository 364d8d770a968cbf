"""Connections to the application, and the pool that keeps idle ones for the next request."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from lbcompanion.model import MonotonicClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.interface import Transport
from lbcompanion.node.proxy.worker_estimate import WorkerEstimate
from lbcompanion.settings import LimitsTable

#: A new connection without a byte for this long may be waiting for a worker that an idle connection occupies.
UNANSWERED_SECONDS = 0.05
#: A connection that has been idle for less is likely to be reused soon.
MIN_IDLE_SECONDS = 0.005
#: Half of the connections that have been idle for longer are closed each second.
SPARE_SECONDS = 1.0
_MIN_DELAY_SECONDS = 0.001
#: If no queued request got a connection for this long, the number of workers was perhaps estimated too small.
STALLED_SECONDS = 0.025
#: Seconds until the next estimate after one turned out to be too small; doubled each time.
DOUBT_SECONDS = (1.0, 600.0)
# The application may have closed a connection before it answered another; the companion reads that a little later.
_RECOUNT_SECONDS = 0.002
# An application that serves its connections in turn serves each at most once before a new one.
_ROUNDS = 2
# A probe is a connection beyond the estimated number of workers. After an estimate the next probe is made at once, the
# following ones after this many requests for each worker, doubled each time.
_PROBE_ROUNDS = (2, 32)


class UpstreamUser(Protocol):
    """The user of a connection to the application: one exchange at a time."""

    def upstream_queue_left(self) -> None:
        """The wait in the queue is over: a connection is reused or dialled."""
        ...

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        """The connection is established and may be written to."""
        ...

    def upstream_failed(self, why: str) -> None:
        """Dialling failed; ``why`` is a counter label (``refused``, ``timeout``, ...)."""
        ...

    def response_data(self, data: bytes) -> None:
        """Handle bytes of the response."""
        ...

    def response_end(self, orderly: bool) -> None:
        """The application closed the connection; ``orderly``: without an error."""
        ...

    def upstream_full(self) -> None:
        """The queue towards the application is full."""
        ...

    def upstream_drained(self) -> None:
        """The queue towards the application is low again."""
        ...


class UpstreamConnection:
    """One connection to the application.

    :ivar owner: the visitor's connection that it is bound to, because the application may know its user by it.
    :ivar unanswered: whether the application has sent no byte on it yet (and has perhaps not accepted it).
    :ivar request_number: the number of the request that it was dialled for, counted over the pool.
    """

    __slots__ = (
        "_pool",
        "closed",
        "idle_since",
        "owner",
        "request_number",
        "reused",
        "transport",
        "unanswered",
        "user",
    )

    def __init__(self, pool: UpstreamPool, user: UpstreamUser, request_number: int = 0) -> None:
        self._pool = pool
        self.user: UpstreamUser | None = user
        self.request_number = request_number
        self.unanswered = True
        self.transport: Transport | None = None
        self.reused = False
        self.closed = False
        self.owner: object = None
        self.idle_since = 0.0

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        if self.user is None:
            # The user left while it was dialled.
            self._pool.release(self)
            return
        self.user.upstream_ready(self)

    def dial_failed(self, why: str) -> None:
        """Report that dialling failed."""
        if self.transport is not None:
            # The connection succeeded just as the timeout fired; success wins.
            return
        if self.closed:
            return
        self.closed = True
        user, self.user = self.user, None
        try:
            if user is not None:
                user.upstream_failed(why)
        finally:
            self._pool.forget(self)

    def data_received(self, data: bytes) -> None:
        if self.unanswered:
            self.unanswered = False
            self._pool.first_answer(self)
        if self.user is None:
            # Bytes without a request (a late 408, or worse) must never count as the next response.
            self.discard()
            return
        self.user.response_data(data)

    def eof_received(self) -> bool:
        self._on_close(True)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_close(exc is None)

    def _on_close(self, orderly: bool) -> None:
        if self.closed:
            return
        self.closed = True
        if self.transport is not None:
            self.transport.close()
        user, self.user = self.user, None
        try:
            if user is not None:
                # If the user retries, it takes the slot of this connection.
                user.response_end(orderly)
        finally:
            self._pool.forget(self)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_full()

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_drained()

    def discard(self) -> None:
        """Close at once without notifying the user."""
        if self.transport is not None:
            self.transport.abort()
        self._detach()

    def end(self) -> None:
        """Close after the queue is sent, without notifying the user."""
        if self.transport is not None:
            self.transport.close()
        self._detach()

    def _detach(self) -> None:
        self.user = None
        if not self.closed:
            self.closed = True
            self._pool.forget(self)


class UpstreamPool:
    """The pool of idle connections, and the queue of requests at the connection limit.

    A request gets an idle connection, else a new one, else it waits in the queue. An idle connection may occupy a
    worker of the application while a new one waits in the kernel's accept queue; the companion cannot see that. So the
    pool closes one other connection (an idle one, or one that was reused repeatedly meanwhile) for a new connection
    without a byte after ``UNANSWERED_SECONDS``, the next after twice that time, and so on: a slow page costs a few
    connections.

    That shows how many connections the application serves at a time, if these are few (:class:`.WorkerEstimate`).
    Without a configured limit the estimate is the limit from then on. A wrong estimate must not make visitors wait. So
    a probe is made beyond it from time to time, it is withdrawn when the application accepts more, and the whole queue
    is dialled for when no request got a connection for ``STALLED_SECONDS``.

    A connection that the application may have authenticated (NTLM, Negotiate) is bound to the connection of the visitor
    that used it. It is never idle in the sense of the pool. At the limit it makes way for a waiting request after
    ``SPARE_SECONDS`` without a request.

    :param dial: connects a handler; calls its ``connection_made`` or ``dial_failed``.
    :param limits: ``upstream_connections``, ``upstream_idle`` and ``upstream_idle_seconds`` are used.
    :param monotonic: seconds that only go forward.
    :param call_later: ``call_later(seconds, function)``, as the reactor has it.
    :param log: ``log(event, detail)``; the estimated number of workers is logged when it has changed.
    :ivar open: the number of connections in use, idle or being dialled.
    """

    def __init__(
        self,
        *,
        dial: Callable[[UpstreamConnection], None],
        limits: LimitsTable,
        monotonic: MonotonicClock,
        call_later: Callable[[float, Callable[[], None]], object],
        counters: Counters,
        log: Callable[[str, str], None] = lambda event, detail: None,
    ) -> None:
        self._dial = dial
        self._log = log
        self._logged_workers = 0
        self._max_open = limits.upstream_connections
        self._max_idle = limits.upstream_idle
        self._idle_seconds = limits.upstream_idle_seconds
        self._monotonic = monotonic
        self._call_later = call_later
        self._counters = counters
        self._idle: list[UpstreamConnection] = []
        self._bound_by_owner: dict[object, UpstreamConnection] = {}
        # The queue, first in first out: user to whether it needs a new connection.
        self._waiting: OrderedDict[UpstreamUser, bool] = OrderedDict()
        self._dialling = False
        # The limit that holds now: the configured one, or the estimated one; 0: no limit.
        self._most = self._max_open
        self._estimate: WorkerEstimate[UpstreamConnection] = WorkerEstimate()
        self._learns_at = 0.0
        self._doubt_seconds = DOUBT_SECONDS[0]
        self._probe_at = 0
        self._probe_rounds = 0
        self._stall_scheduled = False
        self._recount_scheduled = False
        # Heap: when to close another connection, a tie-breaker, the delay, the new connection (perhaps answered).
        self._unanswered: list[tuple[float, int, float, UpstreamConnection]] = []
        self._order = itertools.count()
        self._check_scheduled = False
        self.open = 0
        self.draining = False

    def acquire(self, user: UpstreamUser, fresh: bool, retry: bool = False, owner: object = None) -> bool:
        """Get a connection for ``user``: the one bound to ``owner``, else an idle one unless ``fresh``, else a new one,
        or queue at the limit.

        :param retry: the user retries on a new connection and goes to the head of the queue.
        :param owner: the visitor's connection.
        :returns: whether the user is queued.
        """
        if self._bound_by_owner and owner in self._bound_by_owner:
            self._reuse(self._bound_by_owner[owner], user)
            return False
        if self._idle and not fresh:
            self._reuse(self._idle.pop(), user)
            return False
        if self._most and self.open >= self._most:
            if self._idle:
                self._idle[0].discard()
            elif self._waiting or not self._close_spare_bound(self._monotonic()):
                self._queue(user, fresh, retry)
                if self.open != self._estimate.workers or self._requests_served < self._probe_at:
                    return True
                self._probe()
                return user in self._waiting
        self._dial_new(user)
        return False

    def keep_bound(self, upstream: UpstreamConnection, owner: object) -> None:
        """Take back a connection that only the next request of its visitor's connection may use."""
        upstream.user = None
        upstream.idle_since = self._monotonic()
        if self._bound_by_owner.get(owner) is not upstream:
            self._counters.upstream_bound += 1
            upstream.owner = owner
            self._bound_by_owner[owner] = upstream
        if self._waiting:
            self._close_spare_bound(upstream.idle_since)

    def owner_lost(self, owner: object) -> None:
        """A visitor's connection is closed: close the connection that is bound to it."""
        upstream = self._bound_by_owner.get(owner)
        if upstream is not None:
            upstream.discard()

    def cancel(self, user: UpstreamUser) -> None:
        """Remove ``user`` from the queue."""
        self._waiting.pop(user, None)

    def _queue(self, user: UpstreamUser, fresh: bool, retry: bool) -> None:
        self._counters.upstream_waited += 1
        self._waiting[user] = fresh
        if retry:
            self._waiting.move_to_end(user, last=False)
        if not self._max_open:
            self._schedule_stall_check()

    def _reuse(self, upstream: UpstreamConnection, user: UpstreamUser) -> None:
        upstream.user = user
        upstream.reused = True
        self._counters.upstream_reused += 1
        if upstream.unanswered:
            upstream.request_number = self._requests_served
            self._expect_answer(upstream)
        user.upstream_ready(upstream)

    def _dial_new(self, user: UpstreamUser) -> None:
        self.open += 1
        self._counters.upstream_connections += 1
        upstream = UpstreamConnection(self, user, self._requests_served)
        self._expect_answer(upstream)
        self._estimate.dialled(upstream)
        self._dial(upstream)

    @property
    def _requests_served(self) -> int:
        """How many requests got a connection since the start."""
        return self._counters.upstream_connections + self._counters.upstream_reused

    def release(self, upstream: UpstreamConnection) -> None:
        """Take back a connection that may serve another request."""
        upstream.user = None
        if upstream.closed or upstream.owner is not None or (self._unanswered and self._must_make_way(upstream)):
            upstream.discard()
        elif self._waiting:
            self._hand_to_waiting(upstream)
        elif self.draining or len(self._idle) >= self._max_idle:
            upstream.discard()
        else:
            upstream.idle_since = self._monotonic()
            self._idle.append(upstream)
            if self._unanswered:
                self._schedule_check()

    def _hand_to_waiting(self, upstream: UpstreamConnection) -> None:
        """Give a free connection to the head of the queue."""
        user, fresh = next(iter(self._waiting.items()))
        if fresh:
            # It needs a new connection; forget() dials it in the freed slot.
            upstream.discard()
            return
        del self._waiting[user]
        user.upstream_queue_left()
        self._reuse(upstream, user)

    def forget(self, upstream: UpstreamConnection) -> None:
        """Unregister a closed connection; its slot goes to the head of the queue."""
        self.open -= 1
        self._estimate.closed(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)
        if upstream.owner is not None and self._bound_by_owner.get(upstream.owner) is upstream:
            del self._bound_by_owner[upstream.owner]
        if self._waiting:
            self._dial_for_waiting()

    def _dial_for_waiting(self, all_of_them: bool = False) -> None:
        """Dial for queued users; a loop, so that many immediate failures do not recurse."""
        if self._dialling:
            return
        self._dialling = True
        try:
            while self._waiting and (all_of_them or self.open < self._most or not self._most):
                self._dial_for_first()
        finally:
            self._dialling = False

    def _dial_for_first(self) -> None:
        user, _ = self._waiting.popitem(last=False)
        user.upstream_queue_left()
        self._dial_new(user)

    # Workers of the application that idle connections occupy.

    def _expect_answer(self, upstream: UpstreamConnection, patience: float = UNANSWERED_SECONDS) -> None:
        heapq.heappush(self._unanswered, (self._monotonic() + patience, next(self._order), patience, upstream))
        if self._idle:
            self._schedule_check()

    def _overdue(self, now: float) -> UpstreamConnection | None:
        """The unanswered connection whose delay ends first, if it has ended."""
        while self._unanswered:
            due, _, _, upstream = self._unanswered[0]
            if upstream.unanswered and upstream.user is not None:
                return upstream if due <= now else None
            heapq.heappop(self._unanswered)
        return None

    def _must_make_way(self, upstream: UpstreamConnection) -> bool:
        """Whether to close a connection that has just been used: reused connections may keep a new one unanswered."""
        if self._estimate.workers and self._worker_is_needed(upstream):
            self._estimate.made_way(self.open)
            self._counters.upstream_made_way += 1
            return True
        # Also with an estimate: another node may have taken the worker that the closed connection set free.
        overdue = self._overdue(self._monotonic())
        if overdue is None or self._requests_served - overdue.request_number < _ROUNDS * self.open:
            return False
        self._count_made_way()
        return True

    def _worker_is_needed(self, upstream: UpstreamConnection) -> bool:
        """Whether, as estimated, a connection that is still to be accepted needs the worker of a used one.

        If requests are queued, the connection serves some of them first: that costs no new connection."""
        oldest = self._estimate.oldest_unaccepted()
        if oldest is None or upstream.unanswered:
            return False
        return not self._waiting or self._requests_served - oldest.request_number >= _ROUNDS * self.open

    def _count_made_way(self) -> None:
        """Count a closed connection, and double the delay of the new connection it was closed for."""
        self._counters.upstream_made_way += 1
        self._estimate.made_way(self.open)
        _, _, patience, upstream = heapq.heappop(self._unanswered)
        self._expect_answer(upstream, patience * 2)

    def _schedule_check(self) -> None:
        """Schedule the next check for the moment when an idle connection may have to be closed."""
        if self._check_scheduled or not self._idle or not self._unanswered:
            return
        self._check_scheduled = True
        when = max(self._unanswered[0][0], self._idle[0].idle_since + MIN_IDLE_SECONDS)
        self._call_later(max(when - self._monotonic(), _MIN_DELAY_SECONDS), self._check)

    def _check(self) -> None:
        now = self._monotonic()
        while self._idle and self._idle[0].idle_since + MIN_IDLE_SECONDS <= now and self._overdue(now) is not None:
            self._count_made_way()
            self._idle[0].discard()
        self._check_scheduled = False
        self._schedule_check()

    # The estimated number of workers.

    def first_answer(self, upstream: UpstreamConnection) -> None:
        """The application sent the first byte on a connection."""
        if self._max_open:
            return
        before = self._estimate.workers
        may_learn = self._monotonic() >= self._learns_at
        if self._estimate.answered(upstream, self.open, may_learn) and not self._recount_scheduled:
            self._recount_scheduled = True
            self._call_later(_RECOUNT_SECONDS, self._recount)
        if self._estimate.workers != before:
            self._most = self._estimate.workers
            self._probe_at = self._probe_rounds = 0
            self._log_workers()

    def _log_workers(self) -> None:
        workers = self._estimate.workers
        if workers != self._logged_workers:
            self._logged_workers = workers
            detail = (
                f"it seems to serve {workers} connections at a time: further requests wait in the companion; "
                "upstream_connections in [limits] would set the number"
            )
            self._log("application has few workers", detail)

    def _probe(self) -> None:
        """Dial for the head of the queue beyond the estimate: a fast answer shows that the estimate is too small."""
        self._probe_rounds = min(max(2 * self._probe_rounds, _PROBE_ROUNDS[0]), _PROBE_ROUNDS[1])
        self._probe_at = self._requests_served + self._probe_rounds * self._estimate.workers
        self._dial_for_first()

    def _recount(self) -> None:
        """Withdraw the estimate if the application still serves more connections; the queue is dialled for."""
        self._recount_scheduled = False
        if self._estimate.withdraw(self.open):
            self._most = 0
            self._learns_at = self._monotonic() + self._doubt_seconds
            self._doubt_seconds = min(2 * self._doubt_seconds, DOUBT_SECONDS[1])
            self._dial_for_waiting()

    def _schedule_stall_check(self) -> None:
        if not self._stall_scheduled:
            self._stall_scheduled = True
            served = self._requests_served
            self._call_later(STALLED_SECONDS, lambda: self._check_stall(served))

    def _check_stall(self, served: int) -> None:
        """Dial for the whole queue if no request got a connection meanwhile: the estimate may be wrong."""
        self._stall_scheduled = False
        if self._waiting and served == self._requests_served:
            self._dial_for_waiting(all_of_them=True)
        if self._waiting:
            self._schedule_stall_check()

    def _close_spare_bound(self, now: float) -> bool:
        """Close the bound connection that was unused longest, if it is not likely to be in the middle of a login."""
        spare = [
            upstream
            for upstream in self._bound_by_owner.values()
            if upstream.user is None and now - upstream.idle_since >= SPARE_SECONDS
        ]
        if spare:
            min(spare, key=lambda upstream: upstream.idle_since).discard()
        return bool(spare)

    def tick(self, now: float) -> None:
        """Close connections that idled too long, and half of those that have been idle for a second."""
        if self._bound_by_owner:
            if self._waiting:
                self._close_spare_bound(now)
            elif self._unanswered and self._overdue(now) is not None and self._close_spare_bound(now):
                self._count_made_way()
        spare = [upstream for upstream in self._idle if now - upstream.idle_since > SPARE_SECONDS]
        to_close = len(spare) // 2
        for index, upstream in enumerate(spare):
            if index < to_close or now - upstream.idle_since > self._idle_seconds:
                upstream.discard()

    def close(self) -> None:
        """Close all idle connections, and keep none from now on."""
        self.draining = True
        for upstream in list(self._idle):
            upstream.discard()

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return len(self._idle)

    @property
    def workers(self) -> int:
        """The estimated number of connections that the application serves at a time; 0: unknown."""
        return self._estimate.workers

    @property
    def bound(self) -> int:
        """The number of connections that are bound to a visitor's connection."""
        return len(self._bound_by_owner)

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        return len(self._waiting)

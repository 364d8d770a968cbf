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
from lbcompanion.settings import LimitsTable

#: A new connection that got no byte for this long may wait for a worker that an idle connection holds.
UNANSWERED_SECONDS = 0.05
#: A connection that idled for less may be about to be used again.
MIN_IDLE_SECONDS = 0.005
#: Of the idle connections that nobody needed for this long, half are closed each second.
SPARE_SECONDS = 1.0
_MIN_DELAY_SECONDS = 0.001
# An application that serves its connections in turn has served each of them once, not twice, before a new one.
_ROUNDS = 2


class UpstreamUser(Protocol):
    """Who holds a connection to the application: one exchange at a time."""

    def upstream_turn(self) -> None:
        """The wait in the queue is over: a connection follows, or is dialled."""
        ...

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        """The connection may be written to."""
        ...

    def upstream_failed(self, why: str) -> None:
        """No connection could be had; ``why`` is a word for counters (``refused``, ``timeout``, ...)."""
        ...

    def response_data(self, data: bytes) -> None:
        """Bytes of the application's answer."""
        ...

    def response_end(self, orderly: bool) -> None:
        """The application closed, in order or not; the connection is not to be used any more."""
        ...

    def upstream_full(self) -> None:
        """The application takes no more for now."""
        ...

    def upstream_drained(self) -> None:
        """It takes more again."""
        ...


class UpstreamConnection:
    """One connection to the application.

    :ivar unanswered: the application has sent no byte on it yet; it may not have accepted it either.
    :ivar request_number: the number of the request that it was made for, counted over the pool.
    """

    __slots__ = ("_pool", "closed", "idle_since", "request_number", "reused", "transport", "unanswered", "user")

    def __init__(self, pool: UpstreamPool, user: UpstreamUser, request_number: int = 0) -> None:
        self._pool = pool
        self.user: UpstreamUser | None = user
        self.request_number = request_number
        self.unanswered = True
        self.transport: Transport | None = None
        self.reused = False
        self.closed = False
        self.idle_since = 0.0

    def connection_made(self, transport: Transport) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        self.transport = transport
        if self.user is None:
            # Whoever asked for it has left meanwhile.
            self._pool.release(self)
            return
        self.user.upstream_ready(self)

    def dial_failed(self, why: str) -> None:
        """The connection was never made."""
        if self.transport is not None:
            # It was, in the very moment that its time was over.
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
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        self.unanswered = False
        if self.user is None:
            # Bytes that answer nothing (a late 408, or worse): never to be taken for the next answer.
            self.discard()
            return
        self.user.response_data(data)

    def eof_received(self) -> bool:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        self._on_close(True)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
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
                # Where it asks once more, it keeps the place of this connection.
                user.response_end(orderly)
        finally:
            self._pool.forget(self)

    def pause_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        if self.user is not None:
            self.user.upstream_full()

    def resume_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        if self.user is not None:
            self.user.upstream_drained()

    def discard(self) -> None:
        """Close at once; whoever used it is not told."""
        if self.transport is not None:
            self.transport.abort()
        self._detach()

    def end(self) -> None:
        """The same once everything written is out."""
        if self.transport is not None:
            self.transport.close()
        self._detach()

    def _detach(self) -> None:
        self.user = None
        if not self.closed:
            self.closed = True
            self._pool.forget(self)


class UpstreamPool:
    """The pool: idle connections for the next request, and a queue where no more may be opened.

    A request is served by an idle connection, else by a new one, else it waits for its turn. An idle connection may
    hold a worker of the application, while a new one waits in the kernel's queue to be accepted. That cannot be seen
    from here. So a new connection that gets no byte for ``UNANSWERED_SECONDS`` has one other connection closed: an idle
    one, or one that was used again and again meanwhile. It has the next one closed after twice that time, and so on:
    a page that is merely slow costs a few connections.

    :param dial: starts a connection for a machine; ends in its ``connection_made`` or ``dial_failed``.
    :param limits: ``upstream_connections``, ``upstream_idle`` and ``upstream_idle_seconds`` are looked at.
    :param monotonic: seconds that only go forward.
    :param call_later: calls a function after so many seconds.
    :ivar open: connections that are used, idle, or being made.
    """

    def __init__(
        self,
        *,
        dial: Callable[[UpstreamConnection], None],
        limits: LimitsTable,
        monotonic: MonotonicClock,
        call_later: Callable[[float, Callable[[], None]], object],
        counters: Counters,
    ) -> None:
        self._dial = dial
        self._max_open = limits.upstream_connections
        self._max_idle = limits.upstream_idle
        self._idle_seconds = limits.upstream_idle_seconds
        self._monotonic = monotonic
        self._call_later = call_later
        self._counters = counters
        self._idle: list[UpstreamConnection] = []
        # Who waits, the first in front, and whether only a new connection will do.
        self._waiting: OrderedDict[UpstreamUser, bool] = OrderedDict()
        self._dialling = False
        # When to close one for which new connection, which may have been heard meanwhile, and its patience.
        self._unanswered: list[tuple[float, int, float, UpstreamConnection]] = []
        self._order = itertools.count()
        self._check_scheduled = False
        self.open = 0
        self.draining = False

    def acquire(self, user: UpstreamUser, fresh: bool, retry: bool = False) -> bool:
        """Get a connection for ``user``: an idle one at once, unless ``fresh``, else a new one, as soon as it may be.

        :param retry: the user had a connection, on which nothing came: it need not queue behind the others.
        :returns: whether it has to wait in the queue.
        """
        if self._idle and not fresh:
            self._reuse(self._idle.pop(), user)
            return False
        if self._max_open and self.open >= self._max_open:
            if not self._idle:
                self._queue(user, fresh, retry)
                return True
            self._idle[0].discard()
        self._dial_new(user)
        return False

    def cancel(self, user: UpstreamUser) -> None:
        """``user`` waits no longer."""
        self._waiting.pop(user, None)

    def _queue(self, user: UpstreamUser, fresh: bool, retry: bool) -> None:
        self._counters.upstream_waited += 1
        self._waiting[user] = fresh
        if retry:
            self._waiting.move_to_end(user, last=False)

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
        self._dial(upstream)

    @property
    def _requests_served(self) -> int:
        """How many requests got a connection so far."""
        return self._counters.upstream_connections + self._counters.upstream_reused

    def release(self, upstream: UpstreamConnection) -> None:
        """Take a connection back that may serve another request."""
        upstream.user = None
        if upstream.closed or (self._unanswered and self._must_make_way()):
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
        """Give a free connection to the first who waits."""
        user, fresh = next(iter(self._waiting.items()))
        if fresh:
            # Its place is all that is of use: a new connection is made there.
            upstream.discard()
            return
        del self._waiting[user]
        user.upstream_turn()
        self._reuse(upstream, user)

    def forget(self, upstream: UpstreamConnection) -> None:
        """A connection is gone; its place is the first's who waits."""
        self.open -= 1
        if upstream in self._idle:
            self._idle.remove(upstream)
        if self._waiting:
            self._dial_for_waiting()

    def _dial_for_waiting(self) -> None:
        """Make connections for those who wait; a loop, however many of them fail at once."""
        if self._dialling:
            return
        self._dialling = True
        try:
            while self._waiting and self.open < self._max_open:
                user, _ = self._waiting.popitem(last=False)
                user.upstream_turn()
                self._dial_new(user)
        finally:
            self._dialling = False

    # Workers that idle connections hold.

    def _expect_answer(self, upstream: UpstreamConnection, patience: float = UNANSWERED_SECONDS) -> None:
        heapq.heappush(self._unanswered, (self._monotonic() + patience, next(self._order), patience, upstream))
        if self._idle:
            self._schedule_check()

    def _overdue(self, now: float) -> UpstreamConnection | None:
        """The connection that is to be heard first, if its time is over."""
        while self._unanswered:
            due, _, _, upstream = self._unanswered[0]
            if upstream.unanswered and upstream.user is not None:
                return upstream if due <= now else None
            heapq.heappop(self._unanswered)
        return None

    def _must_make_way(self) -> bool:
        """Whether a connection that was used just now must make way, since others are used again and again while a
        new one is not heard."""
        overdue = self._overdue(self._monotonic())
        if overdue is None or self._requests_served - overdue.request_number < _ROUNDS * self.open:
            return False
        self._count_made_way()
        return True

    def _count_made_way(self) -> None:
        """One was closed for the first of those who are overdue, who may ask for another one later."""
        self._counters.upstream_made_way += 1
        _, _, patience, upstream = heapq.heappop(self._unanswered)
        self._expect_answer(upstream, patience * 2)

    def _schedule_check(self) -> None:
        """Look again as soon as an idle connection may have to make way."""
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

    def tick(self, now: float) -> None:
        """Give up connections that idled too long, and half of those that nobody needed for a second."""
        spare = [upstream for upstream in self._idle if now - upstream.idle_since > SPARE_SECONDS]
        to_close = len(spare) // 2
        for index, upstream in enumerate(spare):
            if index < to_close or now - upstream.idle_since > self._idle_seconds:
                upstream.discard()

    def close(self) -> None:
        """Give up all idle connections, and keep none from now on."""
        self.draining = True
        for upstream in list(self._idle):
            upstream.discard()

    @property
    def idle(self) -> int:
        """How many connections idle."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return len(self._waiting)

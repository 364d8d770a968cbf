"""Connections to the application, and the pool that keeps idle ones for the next request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from lbcompanion.model import MonotonicClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.connection_eviction import ConnectionEviction
from lbcompanion.node.proxy.interface import Transport
from lbcompanion.settings import LimitsTable

#: Half of the connections that have been idle for longer are closed each second.
SPARE_SECONDS = 1.0


class UpstreamUser(Protocol):
    """The user of a connection to the application: one exchange at a time."""

    def upstream_dequeued(self) -> None:
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

    def response_end(self, *, orderly: bool) -> None:
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
    :ivar kept: whether the application kept it after a response.
    :ivar request_number: the number of the request that it was dialled for, counted over the pool.
    """

    __slots__ = (
        "_pool",
        "closed",
        "idle_since",
        "kept",
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
        self.kept = False
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
        self._on_close(orderly=True)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_close(orderly=exc is None)

    def _on_close(self, *, orderly: bool) -> None:
        if self.closed:
            return
        self.closed = True
        if self.transport is not None:
            self.transport.close()
        user, self.user = self.user, None
        try:
            if user is not None:
                # If the user retries, it takes the slot of this connection.
                user.response_end(orderly=orderly)
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

    A request gets an idle connection, else a new one, else it waits in the queue. :class:`.ConnectionEviction` decides
    how many connections there may be without a configured limit, and which ones are closed in favour of new ones.

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
        self._max_idle = limits.upstream_idle
        self._idle_seconds = limits.upstream_idle_seconds
        self._monotonic = monotonic
        self._counters = counters
        self._idle: list[UpstreamConnection] = []
        self._bound_by_owner: dict[object, UpstreamConnection] = {}
        # The queue, first in first out: user to whether it needs a new connection.
        self._waiting: OrderedDict[UpstreamUser, bool] = OrderedDict()
        self._dialling = False
        self._eviction: ConnectionEviction[UpstreamConnection] = ConnectionEviction(
            self,
            max_open=limits.upstream_connections,
            monotonic=monotonic,
            call_later=call_later,
            counters=counters,
            log=log,
        )
        self.open = 0
        self.draining = False

    def acquire(self, user: UpstreamUser, *, fresh: bool, retry: bool = False, owner: object = None) -> bool:
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
        eviction = self._eviction
        if eviction.limit and self.open >= eviction.limit:
            if self._idle:
                self._idle[0].discard()
            elif self._waiting or not self._close_spare_bound(self._monotonic()):
                self._queue(user, fresh=fresh, retry=retry)
                if not eviction.probe_is_due():
                    return True
                eviction.probe()
                return user in self._waiting
        elif not eviction.limit and not fresh and (self._waiting or not eviction.may_dial()):
            # Requests that wait get a connection in their order.
            self._queue(user, fresh=False, retry=retry)
            self.dial_for_waiting()
            return user in self._waiting
        self._dial_new(user)
        return False

    def has_idle_for(self, owner: object) -> bool:
        """Whether :meth:`acquire` would give the user with this ``owner`` an idle connection, none that is bound."""
        return bool(self._idle) and owner not in self._bound_by_owner

    def take_idle(self, user: UpstreamUser) -> UpstreamConnection:
        """Take the idle connection that :meth:`acquire` would give; ``upstream_ready`` is not called."""
        upstream = self._idle.pop()
        self._give(upstream, user)
        return upstream

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

    def _queue(self, user: UpstreamUser, *, fresh: bool, retry: bool) -> None:
        self._counters.upstream_waited += 1
        self._waiting[user] = fresh
        if retry:
            self._waiting.move_to_end(user, last=False)
        self._eviction.queued()

    def _reuse(self, upstream: UpstreamConnection, user: UpstreamUser) -> None:
        self._give(upstream, user)
        user.upstream_ready(upstream)

    def _give(self, upstream: UpstreamConnection, user: UpstreamUser) -> None:
        upstream.user = user
        upstream.reused = True
        self._counters.upstream_reused += 1
        if upstream.unanswered:
            self._eviction.reused_unanswered(upstream)

    def _dial_new(self, user: UpstreamUser) -> None:
        self.open += 1
        self._counters.upstream_connections += 1
        upstream = UpstreamConnection(self, user, self._eviction.requests_served)
        self._eviction.dialled(upstream)
        self._dial(upstream)

    def release(self, upstream: UpstreamConnection) -> None:
        """Take back a connection that may serve another request."""
        upstream.user = None
        upstream.kept = True
        if upstream.closed or upstream.owner is not None or self._eviction.should_evict(upstream):
            upstream.discard()
        elif self._waiting:
            self._hand_to_waiting(upstream)
        elif self.draining or len(self._idle) >= self._max_idle:
            upstream.discard()
        else:
            upstream.idle_since = self._monotonic()
            self._idle.append(upstream)
            self._eviction.became_idle()

    def _hand_to_waiting(self, upstream: UpstreamConnection) -> None:
        """Give a free connection to the head of the queue."""
        user, fresh = next(iter(self._waiting.items()))
        if fresh:
            # It needs a new connection; forget() dials it in the freed slot.
            upstream.discard()
            return
        del self._waiting[user]
        user.upstream_dequeued()
        self._reuse(upstream, user)

    def forget(self, upstream: UpstreamConnection) -> None:
        """Unregister a closed connection; its slot goes to the head of the queue."""
        self.open -= 1
        self._eviction.closed(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)
        if upstream.owner is not None and self._bound_by_owner.get(upstream.owner) is upstream:
            del self._bound_by_owner[upstream.owner]
        if self._waiting:
            self.dial_for_waiting()

    def dial_for_waiting(self, *, all_of_them: bool = False) -> None:
        """Dial for queued users, as far as the limit allows or for all; a loop: many failures must not recurse."""
        if self._dialling:
            return
        self._dialling = True
        try:
            while self._waiting and (all_of_them or self._may_dial_for_first()):
                self.dial_for_first()
        finally:
            self._dialling = False

    def _may_dial_for_first(self) -> bool:
        if self._eviction.may_dial():
            return True
        # Without a limit a request does not wait if it needs a new connection: it could use no other one.
        return not self._eviction.limit and next(iter(self._waiting.values()))

    def dial_for_first(self) -> None:
        """Dial for the head of the queue."""
        user, _ = self._waiting.popitem(last=False)
        user.upstream_dequeued()
        self._dial_new(user)

    def first_answer(self, upstream: UpstreamConnection) -> None:
        """The application sent the first byte on a connection."""
        self._eviction.first_answer(upstream)

    def longest_idle_since(self) -> float | None:
        """Since when the connection is idle that has been idle longest; None if no connection is idle."""
        return self._idle[0].idle_since if self._idle else None

    def close_longest_idle(self) -> None:
        """Close the connection that has been idle longest."""
        self._idle[0].discard()

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
            elif self._eviction.is_overdue(now) and self._close_spare_bound(now):
                self._eviction.count_evicted()
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
        return self._eviction.workers

    def report(self) -> dict[str, int]:
        """The limit and what is known about it, for the debug page."""
        counters = self._counters
        return {
            "limit": self._eviction.limit,
            "workers": self.workers,
            "open": self.open,
            "waiting": self.waiting,
            "waited": counters.upstream_waited,
            "requests": counters.upstream_connections + counters.upstream_reused,
        }

    @property
    def bound(self) -> int:
        """The number of connections that are bound to a visitor's connection."""
        return len(self._bound_by_owner)

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        return len(self._waiting)

"""Connections to the application, and the pool that keeps idle ones for the next request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lbcompanion.node.counters import Counters
from lbcompanion.node.links import Link

#: An idle connection is given up after this long; most applications close theirs no sooner.
IDLE_SECONDS = 30.0


class UpstreamUser(Protocol):
    """Who holds a connection to the application: one exchange at a time."""

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        """The connection may be written to."""
        ...

    def upstream_failed(self, why: str) -> None:
        """No connection could be had; ``why`` is a word for counters (``refused``, ``timeout``, ...)."""
        ...

    def response_data(self, data: bytes) -> None:
        """Bytes of the application's answer."""
        ...

    def response_end(self, in_order: bool) -> None:
        """The application closed, in order or not; the connection is not to be used any more."""
        ...

    def upstream_full(self) -> None:
        """The application takes no more for now."""
        ...

    def upstream_drained(self) -> None:
        """It takes more again."""
        ...


class UpstreamConnection:
    """One connection to the application."""

    __slots__ = ("_pool", "closed", "idle_since", "link", "reused", "user")

    def __init__(self, pool: Upstreams, user: UpstreamUser) -> None:
        self._pool = pool
        self.user: UpstreamUser | None = user
        self.link: Link | None = None
        self.reused = False
        self.closed = False
        self.idle_since = 0.0

    def connection_made(self, link: Link) -> None:
        """See :class:`~lbcompanion.node.links.Machine`."""
        self.link = link
        if self.user is None:
            # Whoever asked for it has left meanwhile.
            self._pool.release(self)
            return
        self.user.upstream_ready(self)

    def dial_failed(self, why: str) -> None:
        """The connection was never made."""
        if self.link is not None:
            # It was, in the very moment that its time was over.
            return
        self.closed = True
        user, self.user = self.user, None
        if user is not None:
            user.upstream_failed(why)

    def data_received(self, data: bytes) -> None:
        """See :class:`~lbcompanion.node.links.Machine`."""
        if self.user is None:
            # Bytes that answer nothing (a late 408, or worse): never to be taken for the next answer.
            self.discard()
            return
        self.user.response_data(data)

    def eof_received(self) -> bool:
        """See :class:`~lbcompanion.node.links.Machine`."""
        self._ended(True)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """See :class:`~lbcompanion.node.links.Machine`."""
        self._ended(exc is None)

    def _ended(self, in_order: bool) -> None:
        if self.closed:
            return
        self.closed = True
        self._pool.forget(self)
        if self.link is not None:
            self.link.close()
        user, self.user = self.user, None
        if user is not None:
            user.response_end(in_order)

    def pause_writing(self) -> None:
        """See :class:`~lbcompanion.node.links.Machine`."""
        if self.user is not None:
            self.user.upstream_full()

    def resume_writing(self) -> None:
        """See :class:`~lbcompanion.node.links.Machine`."""
        if self.user is not None:
            self.user.upstream_drained()

    def discard(self) -> None:
        """Close at once; whoever used it is not told."""
        self._leave()
        if self.link is not None:
            self.link.abort()

    def end(self) -> None:
        """The same once everything written is out."""
        self._leave()
        if self.link is not None:
            self.link.close()

    def _leave(self) -> None:
        self.user = None
        self.closed = True
        self._pool.forget(self)


class Upstreams:
    """The pool.

    :param dial: starts a connection for a machine; ends in its ``connection_made`` or ``dial_failed``.
    :param max_idle: how many idle connections are kept.
    :param clock: seconds that only go forward.
    """

    def __init__(
        self,
        dial: Callable[[UpstreamConnection], None],
        max_idle: int,
        clock: Callable[[], float],
        counters: Counters,
    ) -> None:
        self._dial = dial
        self._max_idle = max_idle
        self._clock = clock
        self._counters = counters
        self._idle: list[UpstreamConnection] = []
        self.draining = False

    def acquire(self, user: UpstreamUser, fresh: bool) -> None:
        """Get a connection for ``user``: an idle one at once, unless ``fresh``, else a new one."""
        if self._idle and not fresh:
            upstream = self._idle.pop()
            upstream.user = user
            upstream.reused = True
            self._counters.upstream_reused += 1
            user.upstream_ready(upstream)
            return
        self._counters.upstream_connections += 1
        self._dial(UpstreamConnection(self, user))

    def release(self, upstream: UpstreamConnection) -> None:
        """Take a connection back that may serve another request."""
        upstream.user = None
        if upstream.closed or self.draining or len(self._idle) >= self._max_idle:
            upstream.discard()
            return
        upstream.idle_since = self._clock()
        self._idle.append(upstream)

    def forget(self, upstream: UpstreamConnection) -> None:
        """A connection is gone."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def tick(self, now: float) -> None:
        """Give up connections that idled too long."""
        for upstream in [u for u in self._idle if now - u.idle_since > IDLE_SECONDS]:
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

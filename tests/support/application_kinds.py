"""Applications of known kinds behind a pool of connections, on a clock that the test moves; they take no CPU time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.task import Clock

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.upstream import UpstreamConnection, UpstreamPool
from lbcompanion.settings import LimitsTable

#: The clock moves by this much at a time.
STEP_SECONDS = 0.00025
#: How long a thread waits for the next request on its connection before it serves another one.
_THREAD_WAITS_SECONDS = 0.2
_LIMIT_SECONDS = 600.0


class Link:
    """A connection, as the application sees it.

    :ivar asked: whether a request came that was not read.
    :ivar served: the number of requests that were begun.
    """

    def __init__(self, application: Application, upstream: UpstreamConnection) -> None:
        self._application = application
        self.upstream = upstream
        self.asked = False
        self.served = 0
        self.closed = False

    def request(self) -> None:
        """The companion sends a request."""
        self.asked = True
        self._application.work()

    def abort(self) -> None:
        """The companion closes the connection."""
        if not self.closed:
            self.closed = True
            self._application.closed(self)
            self._application.work()

    close = abort


class Application:
    """An application that accepts every connection, and serves all requests at once.

    :param seconds: how long a request takes; it may change.
    :cvar keeps: whether it keeps a connection after a response.
    """

    keeps = True

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.connections_made = 0
        self._backlog: deque[Link] = deque()
        self._accepted: list[Link] = []

    def dial(self, upstream: UpstreamConnection) -> None:
        """The system accepts a connection on behalf of the application."""
        self.connections_made += 1
        link = Link(self, upstream)
        self._backlog.append(link)
        upstream.connection_made(link)  # type: ignore[arg-type]

    def work(self) -> None:
        """Accept connections, and begin to serve requests."""
        while self._backlog and self._may_accept():
            self._accepted.append(self._backlog.popleft())
        for link in self._accepted:
            if link.asked:
                self._serve(link)

    def _may_accept(self) -> bool:
        return True

    def _serve(self, link: Link) -> None:
        link.asked = False
        link.served += 1
        self.clock.callLater(self.seconds, self._answer, link)

    def _answer(self, link: Link) -> None:
        if not link.closed:
            link.upstream.data_received(b"response")

    def closed(self, link: Link) -> None:
        """Forget a closed connection."""
        for links in (self._backlog, self._accepted):
            if link in links:
                links.remove(link)


class Prefork(Application):
    """Each worker serves one connection until it is closed.

    :param workers: their number; it may change.
    """

    def __init__(self, clock: Clock, seconds: float, workers: int) -> None:
        super().__init__(clock, seconds)
        self.workers = workers

    def _may_accept(self) -> bool:
        return len(self._accepted) < self.workers


class SyncWorkers(Prefork):
    """Each worker serves one connection, and closes it after its response."""

    keeps = False


class Threads(Prefork):
    """A connection is accepted while a thread is free.

    A thread keeps its connection for a moment after a response, unless requests on connections without a thread wait.
    """

    def __init__(self, clock: Clock, seconds: float, workers: int) -> None:
        super().__init__(clock, seconds, workers)
        self._to_do: deque[Link] = deque()
        self._held: set[Link] = set()

    def _may_accept(self) -> bool:
        return len(self._held) < self.workers

    def work(self) -> None:
        for link in self._accepted:
            if link.asked and link in self._held:
                self._serve(link)
            elif link.asked and link not in self._to_do:
                self._to_do.append(link)
        while self._may_accept() and (self._to_do or self._backlog):
            if self._to_do:
                link = self._to_do.popleft()
            else:
                link = self._backlog.popleft()
                self._accepted.append(link)
            self._held.add(link)
            if link.asked:
                self._serve(link)
            else:
                self._wait(link)

    def _wait(self, link: Link) -> None:
        served = link.served

        def leave() -> None:
            if link.served == served:
                self._held.discard(link)
                self.work()

        self.clock.callLater(0 if self._to_do else _THREAD_WAITS_SECONDS, leave)

    def _answer(self, link: Link) -> None:
        if not link.closed:
            self._wait(link)
        super()._answer(link)

    def closed(self, link: Link) -> None:
        super().closed(link)
        self._held.discard(link)
        if link in self._to_do:
            self._to_do.remove(link)


class Visitor:
    """One request, as a user of the pool."""

    def __init__(self, burst: Burst, fresh: bool = False) -> None:
        self._burst = burst
        self._upstream: UpstreamConnection | None = None
        self._begun = burst.clock.seconds()
        burst.pool.acquire(self, fresh=fresh)

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        assert isinstance(upstream.transport, Link)
        upstream.transport.request()

    def response_data(self, data: bytes) -> None:
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        self._burst.waits.append(self._burst.clock.seconds() - self._begun)
        if self._burst.application.keeps:
            self._burst.pool.release(upstream)
        else:
            upstream.discard()
        self._burst.following()

    def response_end(self, *, orderly: bool) -> None:
        raise AssertionError("the application closed a connection that was in use")

    def upstream_failed(self, why: str) -> None:
        raise AssertionError(why)

    upstream_dequeued = upstream_full = upstream_drained = lambda self: None


class Burst:
    """Requests in front of one application, through one pool.

    :ivar waits: how long each request took, in seconds.
    :ivar connections: how many connections were made for the last burst.
    """

    def __init__(self, make: Callable[[Clock], Application]) -> None:
        self.clock = Clock()
        self.application = make(self.clock)
        self.counters = Counters()
        self.pool = UpstreamPool(
            dial=self.application.dial,
            limits=LimitsTable(),
            monotonic=self.clock.seconds,
            call_later=self.clock.callLater,
            counters=self.counters,
        )
        self.waits: list[float] = []
        self.connections = 0
        self._left = 0

    def following(self) -> None:
        """A further request comes when one is answered."""
        if self._left:
            self._left -= 1
            # Visitors come a moment after the response.
            self.clock.callLater(STEP_SECONDS, Visitor, self)

    def run(self, requests: int = 256, at_once: int = 64) -> float:
        """Send requests until all are answered.

        :returns: how long they took, in seconds.
        """
        begun, made = self.clock.seconds(), self.application.connections_made
        self.waits, self._left = [], requests - at_once
        for _ in range(at_once):
            Visitor(self)
        while len(self.waits) < requests:
            self.clock.advance(STEP_SECONDS)
            assert self.clock.seconds() - begun < _LIMIT_SECONDS, f"{len(self.waits)} of {requests} were answered"
        self.connections = self.application.connections_made - made
        return self.clock.seconds() - begun

    def pause(self, seconds: float) -> None:
        """No request comes for a while."""
        until = self.clock.seconds() + seconds
        tick = self.clock.seconds() + 1.0
        while self.clock.seconds() < until:
            self.clock.advance(0.01)
            if self.clock.seconds() >= tick:
                self.pool.tick(self.clock.seconds())
                tick += 1.0

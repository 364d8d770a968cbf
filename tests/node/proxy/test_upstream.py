"""The pool of connections to the application: its cap, its queue, and idle connections that make way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.task import Clock

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.connection_eviction import (
    MIN_IDLE_SECONDS,
    STALLED_SECONDS,
    UNANSWERED_SECONDS,
    WINDOW_SECONDS,
)
from lbcompanion.node.proxy.upstream import UpstreamConnection, UpstreamPool
from lbcompanion.settings import LimitsTable
from lbcompanion.testing.memory_transport import RemoteEnd
from tests.support.in_memory_node import ApplicationConnection, InMemoryNode, ReceivedRequest, read_responses, request


def plain(body: bytes = b"hello", *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def capped(most: int, **limits: Any) -> InMemoryNode:
    """A companion with a cap, before an application that answers when the test has it do so."""
    companion = InMemoryNode(limits=LimitsTable(upstream_connections=most, **limits))
    companion.application.on_request = lambda connection, seen: None
    return companion


def visitors(companion: InMemoryNode, count: int) -> list[RemoteEnd]:
    """Visitors who ask for ``/0``, ``/1``, ..."""
    all_of_them = [companion.connect() for _ in range(count)]
    for number, visitor in enumerate(all_of_them):
        visitor.send(request(b"/%d" % number))
    companion.run()
    return all_of_them


def targets(companion: InMemoryNode) -> list[bytes]:
    return [seen.target for seen in companion.application.received_requests]


def statuses(those: list[RemoteEnd]) -> list[int]:
    return [read_responses(visitor.received, [b"GET"], visitor.eof)[0].status for visitor in those]


# The queue.


def test_who_came_first_is_served_first_by_the_connection_that_came_free() -> None:
    companion = capped(2)
    asking = visitors(companion, 5)
    assert targets(companion) == [b"/0", b"/1"]
    assert (companion.upstream_pool.open, companion.upstream_pool.waiting, companion.counters.upstream_waited) == (
        2,
        3,
        3,
    )
    for count in (3, 4, 5):
        companion.application.connections[count % 2].send(plain())
        companion.run()
        assert targets(companion) == [b"/%d" % number for number in range(count)]
        assert companion.upstream_pool.idle == 0
    for connection in companion.application.connections:
        connection.send(plain())
    companion.run()
    assert statuses(asking) == [200] * 5
    assert len(companion.application.connections) == 2
    assert (companion.upstream_pool.open, companion.upstream_pool.idle, companion.upstream_pool.waiting) == (2, 2, 0)


def test_who_asks_on_and_on_does_not_overtake_those_who_wait() -> None:
    companion = capped(1)
    greedy = companion.connect()
    greedy.send(request(b"/greedy") * 3)
    companion.run()
    modest = visitors(companion, 1)
    companion.application.answers(plain())
    companion.application.connections[0].send(plain())
    companion.run()
    assert targets(companion) == [b"/greedy", b"/0", b"/greedy", b"/greedy"]
    assert statuses(modest) == [200]


def test_who_leaves_is_no_longer_in_the_queue() -> None:
    companion = capped(1)
    _, leaving, staying = visitors(companion, 3)
    leaving.reset()
    companion.run()
    assert companion.upstream_pool.waiting == 1
    companion.application.connections[0].send(plain())
    companion.run()
    companion.application.connections[0].send(plain())
    companion.run()
    assert targets(companion) == [b"/0", b"/2"]
    assert statuses([staying]) == [200]


def test_who_waits_too_long_gets_503() -> None:
    companion = capped(1, upstream_queue_seconds=20)
    _, waiting = visitors(companion, 2)
    companion.pass_time(19)
    assert waiting.received == b""
    companion.pass_time(3)
    (answer,) = read_responses(waiting.received, [b"GET"], False)
    assert (answer.status, answer.get(b"retry-after"), answer.get(b"cache-control")) == (503, b"5", b"no-store")
    assert companion.counters.timeouts == {"queue": 1}
    assert companion.upstream_pool.waiting == 0
    companion.application.connections[0].send(plain())
    companion.run()
    assert (targets(companion), companion.upstream_pool.idle) == ([b"/0"], 1)
    companion.application.answers(plain())
    waiting.send(request(b"/again"))
    companion.run()
    assert read_responses(waiting.received, [b"GET"] * 2, False)[1].status == 200


def test_the_time_for_an_answer_begins_behind_the_queue() -> None:
    companion = capped(1, upstream_queue_seconds=50, upstream_seconds=30)
    first, second = visitors(companion, 2)
    companion.pass_time(25)
    companion.application.connections[0].send(plain())
    companion.run()
    companion.pass_time(25)
    assert second.received == b""
    companion.application.connections[0].send(plain())
    companion.run()
    assert statuses([first, second]) == [200, 200]


def test_a_body_waits_with_its_request() -> None:
    companion = capped(1)
    visitors(companion, 1)
    sending = companion.connect()
    sending.send(request(b"/form", b"Content-Length: 6", method=b"POST"), b"abc", b"def")
    companion.run()
    assert (companion.upstream_pool.waiting, sending.is_read) == (1, False)
    companion.application.connections[0].send(plain())
    companion.run()
    # What may have an effect goes on a new connection, for which the old one makes room.
    assert (len(companion.application.connections), companion.upstream_pool.open) == (2, 1)
    assert [(seen.target, seen.body) for seen in companion.application.received_requests] == [
        (b"/0", b""),
        (b"/form", b"abcdef"),
    ]


def test_an_idle_connection_makes_room_for_a_request_that_needs_a_new_one() -> None:
    companion = capped(1)
    companion.application.answers(plain())
    assert companion.get().status == 200
    (answer,) = companion.ask(request(b"/", b"Content-Length: 0", method=b"POST"), methods=[b"POST"])
    assert answer.status == 200
    assert (companion.upstream_pool.open, companion.upstream_pool.idle, len(companion.application.connections)) == (
        1,
        1,
        2,
    )


@pytest.mark.parametrize(("then", "status"), [("end", 200), ("reset", 502)])
def test_a_connection_that_is_closed_leaves_its_place_to_the_next(then: str, status: int) -> None:
    companion = capped(1)
    asking = visitors(companion, 3)
    for number in range(3):
        companion.application.connections[number].send(plain(b"hello", b"Connection: close"))
        getattr(companion.application.connections[number], then)()
        companion.run()
    assert statuses(asking) == [status] * 3
    assert (companion.upstream_pool.open, companion.upstream_pool.waiting) == (0, 0)


@pytest.mark.slow
def test_a_connection_that_cannot_be_made_leaves_its_place_to_the_next() -> None:
    companion = capped(1)
    companion.application.connect_error = "refused"
    asking = visitors(companion, 1500)
    assert statuses(asking) == [502] * 1500
    assert (companion.upstream_pool.open, companion.upstream_pool.waiting) == (0, 0)


@pytest.mark.slow
def test_connections_that_fail_at_once_do_not_pile_up() -> None:
    companion = capped(1)
    asking = visitors(companion, 1500)
    companion.upstream_pool._dial = lambda upstream: upstream.dial_failed("refused")
    companion.application.connections[0].reset()
    companion.run()
    assert statuses(asking) == [502] * 1500
    assert (companion.upstream_pool.open, companion.upstream_pool.waiting) == (0, 0)


def test_a_request_that_is_asked_again_keeps_its_place() -> None:
    companion = capped(1)
    companion.application.answers(plain())
    assert companion.get().status == 200
    companion.application.on_request = lambda connection, seen: None
    asking = visitors(companion, 2)
    companion.application.connections[0].end()
    companion.run()
    assert targets(companion)[1:] == [b"/0", b"/0"]
    companion.application.answers(plain())
    companion.application.connections[1].send(plain())
    companion.run()
    assert statuses(asking) == [200, 200]
    assert (targets(companion)[3:], len(companion.application.connections), companion.upstream_pool.open) == (
        [b"/1"],
        2,
        1,
    )


def test_a_tunnel_counts_as_long_as_it_lasts() -> None:
    companion = capped(1)
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def on_request(connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        connection.raw = True
        connection.send(switched)

    companion.application.on_request = on_request
    tunnel = companion.connect()
    tunnel.send(request(b"/chat", b"Connection: Upgrade", b"Upgrade: websocket"))
    companion.run()
    companion.application.answers(plain())
    asking = visitors(companion, 1)
    assert (companion.upstream_pool.open, companion.upstream_pool.waiting) == (1, 1)
    tunnel.reset()
    companion.run()
    assert statuses(asking) == [200]


def test_those_who_wait_are_served_while_the_node_leaves() -> None:
    companion = capped(1)
    asking = visitors(companion, 3)
    companion.context.draining = True
    companion.upstream_pool.close()
    companion.application.answers(plain())
    companion.application.connections[0].send(plain())
    companion.run()
    assert statuses(asking) == [200] * 3
    assert (companion.upstream_pool.open, companion.upstream_pool.idle) == (0, 0)


@pytest.mark.slow
def test_without_a_cap_nobody_waits_for_long() -> None:
    """The application answers nobody: the window doubles until all requests have a connection."""
    companion = capped(0)
    visitors(companion, 300)
    made = []
    while companion.upstream_pool.waiting:
        made.append(len(companion.application.connections))
        companion.clock.advance(WINDOW_SECONDS)
        companion.run()
    assert made == [8, 16, 32, 64, 128, 256]
    assert (len(companion.application.connections), companion.counters.upstream_waited) == (300, 292)


def test_without_a_cap_a_request_that_needs_a_new_connection_gets_it_at_once() -> None:
    companion = capped(0)
    visitors(companion, 20)
    assert companion.upstream_pool.waiting == 12
    companion.connect().send(request(b"/form", b"Content-Length: 0", method=b"POST"))
    companion.run()
    assert targets(companion)[-1] == b"/form"
    assert companion.upstream_pool.waiting == 12


# Applications with few workers.


class Prefork:
    """An application whose workers take one connection each, and keep it until it is closed."""

    def __init__(self, companion: InMemoryNode, workers: int, keeps: bool = True) -> None:
        self._rig = companion
        self._workers = workers
        self._keeps = keeps
        self._asked: dict[ApplicationConnection, bool] = {}
        companion.application.on_request = self._on_request

    def _on_request(self, connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        self._asked[connection] = True
        self._rig.loop.call_soon(self._work)

    def _work(self) -> None:
        here = [one for one in self._rig.application.connections if not one.remote.aborted and not one.remote.closed]
        for connection in here[: self._workers]:
            if self._asked.pop(connection, False):
                connection.send(plain(b"hello", *([] if self._keeps else [b"Connection: close"])))
                self._rig.loop.call_soon(self._work)

    def run(self, rounds: int) -> None:
        """Let a little time pass, again and again."""
        for _ in range(rounds):
            self._rig.clock.advance(MIN_IDLE_SECONDS)
            self._work()
            self._rig.run()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("most", [0, 8, 64])
@pytest.mark.parametrize("keeps", [True, False])
def test_few_workers_serve_many_visitors(workers: int, most: int, keeps: bool) -> None:
    companion = capped(most)
    prefork = Prefork(companion, workers, keeps)
    asking = visitors(companion, 64)
    prefork.run(150)
    assert statuses(asking) == [200] * 64
    # About one for each visitor: no connection is closed without need.
    assert len(companion.application.connections) <= 2 * 64


@pytest.mark.slow
def test_few_workers_whose_connections_are_used_again_and_again_take_new_ones_too() -> None:
    companion = capped(0)
    prefork = Prefork(companion, 2)
    asking = visitors(companion, 6)
    prefork._work()
    companion.run()
    busy = companion.connect()
    for _ in range(200):
        busy.send(request(b"/busy") * 10)
        companion.run()
        prefork.run(1)
    assert statuses(asking) == [200] * 6


@pytest.mark.slow
def test_a_slow_page_costs_few_idle_connections() -> None:
    companion = capped(0)
    companion.application.on_request = lambda connection, seen: (
        connection.send(plain()) if seen.target != b"/slow" else None
    )
    first = companion.connect()
    first.send(request(b"/slow"))
    companion.run()
    for _ in range(1000):
        companion.get()
        companion.clock.advance(0.01)
        companion.run()
    made = companion.counters.upstream_connections
    assert made <= 12, made
    companion.application.connections[0].send(plain())
    companion.run()
    before = companion.counters.upstream_made_way
    companion.clock.advance(100)
    assert companion.counters.upstream_made_way == before


@pytest.mark.slow
def test_an_application_that_is_slow_for_all_keeps_its_connections() -> None:
    companion = capped(0)
    asking = [companion.connect() for _ in range(40)]
    for _ in range(20):
        for visitor in asking:
            visitor.send(request())
        companion.run()
        companion.clock.advance(4 * UNANSWERED_SECONDS)
        companion.run()
        for connection in companion.application.connections:
            connection.send(plain())
        companion.run()
    assert len(companion.application.connections) == 40
    assert companion.counters.upstream_made_way == 0


def test_idle_connections_that_nobody_needs_are_halved() -> None:
    companion = capped(0, upstream_idle_seconds=30)
    visitors(companion, 40)
    while companion.upstream_pool.waiting:
        companion.clock.advance(WINDOW_SECONDS)
        companion.run()
    for connection in companion.application.connections:
        connection.send(plain())
    companion.run()
    assert companion.upstream_pool.idle == 40
    companion.pass_time(2)
    assert companion.upstream_pool.idle == 20
    companion.pass_time(6)
    assert companion.upstream_pool.idle == 1
    companion.pass_time(30)
    assert (companion.upstream_pool.idle, companion.upstream_pool.open) == (0, 0)


# The estimated number of workers.


def learned(workers: int) -> tuple[InMemoryNode, Prefork]:
    """A companion that has learned how many workers there are."""
    companion = capped(0)
    prefork = Prefork(companion, workers)
    asking = visitors(companion, 8 * workers + 20)
    prefork.run(150)
    assert statuses(asking) == [200] * len(asking)
    assert companion.upstream_pool.workers == workers
    return companion, prefork


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_number_of_workers_is_learned_once_and_logged(workers: int) -> None:
    companion, prefork = learned(workers)
    before = companion.counters.upstream_connections
    for _ in range(3):
        asking = visitors(companion, 64)
        # Nearly all wait for the few connections. A probe adds one connection from time to time.
        assert companion.upstream_pool.open <= workers + 1
        prefork.run(150)
        assert statuses(asking) == [200] * 64
    assert companion.counters.upstream_connections - before <= 6
    assert companion.counters.upstream_waited > 0
    assert [line for line in companion.logged if "workers" in line] == [
        f"application has few workers: it seems to serve {workers} connections at a time: further requests wait in the "
        "companion; upstream_connections in [limits] would set the number"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("most", "expected"), [(40, 4), (4, 0), (2, 0)])
def test_beside_a_configured_limit_the_estimate_shows_a_limit_above_the_workers(most: int, expected: int) -> None:
    companion = capped(most)
    prefork = Prefork(companion, 4)
    for _ in range(3):
        asking = visitors(companion, 60)
        prefork.run(150)
        assert statuses(asking) == [200] * 60
        assert companion.upstream_pool.open <= most
    report = companion.upstream_pool.report()
    assert (report["limit"], report["workers"]) == (most, expected)
    assert report["waited"] > 0
    assert report["requests"] == 180
    assert not [line for line in companion.logged if "workers" in line]


@pytest.mark.slow
def test_an_estimate_is_withdrawn_as_soon_as_the_application_serves_more() -> None:
    companion, prefork = learned(2)
    prefork._workers = 1000
    asking = visitors(companion, 64)
    for _ in range(20):
        prefork._work()
        companion.run()
        companion.clock.advance(STALLED_SECONDS / 10)
    assert statuses(asking) == [200] * 64
    assert companion.upstream_pool.workers == 0
    # An application that closes connections of many at once does not make it guess again and again.
    assert companion.upstream_pool.waiting == 0


@pytest.mark.slow
def test_a_wrong_estimate_makes_nobody_wait_for_long_polls() -> None:
    """All workers of the estimate are occupied, by polls that last; the application would serve more."""
    companion, prefork = learned(2)
    prefork._workers = 0
    polls = visitors(companion, 3)
    assert companion.upstream_pool.waiting == 0, "two in use, and the probe"
    quick = [companion.connect() for _ in range(20)]
    for visitor in quick:
        visitor.send(request(b"/quick"))
    companion.run()
    assert companion.upstream_pool.waiting == 20
    for _ in range(3):
        companion.clock.advance(STALLED_SECONDS)
        companion.run()
    assert companion.upstream_pool.waiting == 0
    assert companion.upstream_pool.open == 23
    # It answers the youngest: it serves them all.
    companion.application.connections[-1].send(plain())
    companion.run()
    companion.clock.advance(STALLED_SECONDS)
    companion.run()
    assert companion.upstream_pool.workers == 0
    assert not any(visitor.received for visitor in polls)


@pytest.mark.slow
def test_a_request_that_needs_a_new_connection_gets_the_worker_of_an_idle_one_at_once() -> None:
    companion, _ = learned(2)
    assert companion.upstream_pool.idle == 2
    visitor = companion.connect()
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
    companion.run()
    assert statuses([visitor]) == [200]


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 60), st.booleans()), min_size=1, max_size=6))
def test_everybody_is_served_whatever_becomes_of_the_workers(phases: list[tuple[int, int, bool]]) -> None:
    """The application is restarted with more or fewer workers; it keeps its connections, or closes them."""
    companion = capped(0)
    prefork = Prefork(companion, 4)
    for workers, count, keeps in phases:
        for idle in list(companion.upstream_pool._idle):
            idle.connection_lost(None)
        prefork._workers, prefork._keeps = workers, keeps
        asking = visitors(companion, count)
        prefork.run(200)
        assert statuses(asking) == [200] * count
        assert companion.upstream_pool.waiting == 0
        assert companion.upstream_pool.open == companion.upstream_pool.idle
        assert companion.upstream_pool.workers <= max(workers, *(phase[0] for phase in phases), 4)


# The pool against a model.


class _Link:
    """A connection of which these tests only check whether it was closed."""

    closed = False

    def abort(self) -> None:
        self.closed = True

    close = abort


class _User:
    def __init__(self, handler: PoolMachine, fresh: bool) -> None:
        self._handler = handler
        self.fresh = fresh
        self.upstream: UpstreamConnection | None = None

    def upstream_dequeued(self) -> None:
        assert self._handler.queue.pop(0) is self

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        assert self not in self._handler.queue
        assert not upstream.closed
        assert not (self.fresh and upstream.reused)
        self.upstream = upstream
        self._handler.served.append(self)

    def upstream_failed(self, why: str) -> None:
        pass

    def response_data(self, data: bytes) -> None:
        pass

    def response_end(self, *, orderly: bool) -> None:
        self._handler.served.remove(self)
        if self.upstream is not None and self.upstream.reused and not self.fresh:
            self.fresh = True
            if self._handler.pool.acquire(self, fresh=True, retry=True):
                self._handler.queue.insert(0, self)

    upstream_full = upstream_drained = lambda self: None


class _Passing:
    """A user that only notes its connection."""

    upstream: UpstreamConnection | None = None

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        self.upstream = upstream

    def response_end(self, *, orderly: bool) -> None:
        pass

    def response_data(self, data: bytes) -> None:
        pass

    def upstream_failed(self, why: str) -> None:
        pass

    upstream_dequeued = upstream_full = upstream_drained = lambda self: None


def test_a_worker_that_another_node_took_is_freed_again() -> None:
    """A connection was closed for a new one, but the application accepted that of another node meanwhile."""
    clock = Clock()
    dialled: list[UpstreamConnection] = []
    pool = UpstreamPool(
        dial=dialled.append,
        limits=LimitsTable(),
        monotonic=clock.seconds,
        call_later=clock.callLater,
        counters=Counters(),
    )
    users = [_Passing() for _ in range(500)]
    pool.acquire(users[0], fresh=False)
    dialled[0].connection_made(_Link())  # type: ignore[arg-type]
    dialled[0].data_received(b"x")
    pool._eviction._estimate.workers = pool._eviction.limit = 1
    for user in users[1:]:
        pool.acquire(user, fresh=False)
    probe = dialled[1]
    probe.connection_made(_Link())  # type: ignore[arg-type]
    pool._eviction._estimate.closed_for_waiting = 1
    for _ in range(20):
        clock.advance(0.01)
        pool.release(dialled[0])
        if dialled[0].closed:
            break
    assert pool.waiting > 400, "the queue alone would keep the connection busy"
    assert dialled[0].closed


class PoolMachine(RuleBasedStateMachine):
    """Users come, wait, leave; connections are made, fail, answer, break."""

    most = 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.dialling: list[UpstreamConnection] = []
        self.made: list[UpstreamConnection] = []
        self.queue: list[_User] = []
        self.served: list[_User] = []
        limits = LimitsTable(upstream_connections=self.most, upstream_idle=2)
        self.pool = UpstreamPool(
            dial=self.dialling.append,
            limits=limits,
            monotonic=self.clock.seconds,
            call_later=self.clock.callLater,
            counters=Counters(),
        )

    @rule(fresh=st.booleans())
    def come(self, fresh: bool) -> None:
        user = _User(self, fresh)
        if self.pool.acquire(user, fresh=fresh):
            self.queue.append(user)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(self.queue))
        self.queue.remove(user)
        self.pool.cancel(user)

    @precondition(lambda self: self.dialling)
    @rule(data=st.data(), works=st.booleans())
    def dialled(self, data: st.DataObject, works: bool) -> None:
        upstream = data.draw(st.sampled_from(self.dialling))
        self.dialling.remove(upstream)
        if works:
            self.made.append(upstream)
            upstream.connection_made(_Link())  # type: ignore[arg-type]
        else:
            upstream.dial_failed("refused")

    @precondition(lambda self: self.served)
    @rule(data=st.data(), heard=st.booleans(), kept=st.booleans())
    def answered(self, data: st.DataObject, heard: bool, kept: bool) -> None:
        user = data.draw(st.sampled_from(self.served))
        upstream = user.upstream
        assert upstream is not None
        if heard:
            upstream.data_received(b"x")
        self.served.remove(user)
        if kept:
            self.pool.release(upstream)
        else:
            upstream.discard()

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def broken(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.made)).connection_lost(None)

    @rule(seconds=st.sampled_from([0.01, 0.06, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pool.tick(self.clock.seconds())

    @invariant()
    def holds(self) -> None:
        self.made = [upstream for upstream in self.made if not upstream.closed]
        pool = self.pool
        assert pool.open == len(self.made) + len(self.dialling) <= self.most
        assert pool.waiting == len(self.queue)
        assert pool.idle == len([one for one in self.made if one.user is None])
        assert not (pool.idle and pool.waiting)
        # No waiter is forgotten: a waiter waits only while another one has the connection.
        assert not self.queue or pool.open == self.most
        assert len(self.served) == len([one for one in self.made if one.user is not None])


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3])
def test_the_pool_against_a_model(most: int) -> None:
    handler = type("Pool", (PoolMachine,), {"most": most})
    run_state_machine_as_test(handler, settings=settings(max_examples=150, stateful_step_count=40))

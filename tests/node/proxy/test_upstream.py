"""The pool of connections to the application: its cap, its queue, and idle connections that make way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.task import Clock

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.upstream import RESTED_SECONDS, UNHEARD_SECONDS, UpstreamConnection, Upstreams
from lbcompanion.settings import LimitsTable
from lbcompanion.testing.links import FarEnd
from tests.support.in_memory_node import AppConnection, Rig, Seen, read_answers, request


def plain(body: bytes = b"hello", *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def capped(most: int, **limits: Any) -> Rig:
    """A companion with a cap, before an application that answers when the test has it do so."""
    rig = Rig(limits=LimitsTable(upstream_connections=most, **limits))
    rig.app.on_request = lambda connection, seen: None
    return rig


def visitors(rig: Rig, count: int) -> list[FarEnd]:
    """Visitors who ask for ``/0``, ``/1``, ..."""
    all_of_them = [rig.connect() for _ in range(count)]
    for number, visitor in enumerate(all_of_them):
        visitor.send(request(b"/%d" % number))
    rig.run()
    return all_of_them


def targets(rig: Rig) -> list[bytes]:
    return [seen.target for seen in rig.app.seen]


def statuses(those: list[FarEnd]) -> list[int]:
    return [read_answers(visitor.received, [b"GET"], visitor.eof)[0].status for visitor in those]


# The queue.


def test_who_came_first_is_served_first_by_the_connection_that_came_free() -> None:
    rig = capped(2)
    asking = visitors(rig, 5)
    assert targets(rig) == [b"/0", b"/1"]
    assert (rig.upstreams.open, rig.upstreams.waiting, rig.counters.upstream_waited) == (2, 3, 3)
    for count in (3, 4, 5):
        rig.app.connections[count % 2].send(plain())
        rig.run()
        assert targets(rig) == [b"/%d" % number for number in range(count)]
        assert rig.upstreams.idle == 0
    for connection in rig.app.connections:
        connection.send(plain())
    rig.run()
    assert statuses(asking) == [200] * 5
    assert len(rig.app.connections) == 2
    assert (rig.upstreams.open, rig.upstreams.idle, rig.upstreams.waiting) == (2, 2, 0)


def test_who_asks_on_and_on_does_not_overtake_those_who_wait() -> None:
    rig = capped(1)
    greedy = rig.connect()
    greedy.send(request(b"/greedy") * 3)
    rig.run()
    modest = visitors(rig, 1)
    rig.app.answers(plain())
    rig.app.connections[0].send(plain())
    rig.run()
    assert targets(rig) == [b"/greedy", b"/0", b"/greedy", b"/greedy"]
    assert statuses(modest) == [200]


def test_who_leaves_is_no_longer_in_the_queue() -> None:
    rig = capped(1)
    _, leaving, staying = visitors(rig, 3)
    leaving.reset()
    rig.run()
    assert rig.upstreams.waiting == 1
    rig.app.connections[0].send(plain())
    rig.run()
    rig.app.connections[0].send(plain())
    rig.run()
    assert targets(rig) == [b"/0", b"/2"]
    assert statuses([staying]) == [200]


def test_who_waits_too_long_gets_503() -> None:
    rig = capped(1, upstream_queue_seconds=20)
    _, waiting = visitors(rig, 2)
    rig.pass_time(19)
    assert waiting.received == b""
    rig.pass_time(3)
    (answer,) = read_answers(waiting.received, [b"GET"], False)
    assert (answer.status, answer.get(b"retry-after"), answer.get(b"cache-control")) == (503, b"5", b"no-store")
    assert rig.counters.timeouts == {"queue": 1}
    assert rig.upstreams.waiting == 0
    rig.app.connections[0].send(plain())
    rig.run()
    assert (targets(rig), rig.upstreams.idle) == ([b"/0"], 1)
    rig.app.answers(plain())
    waiting.send(request(b"/again"))
    rig.run()
    assert read_answers(waiting.received, [b"GET"] * 2, False)[1].status == 200


def test_the_time_for_an_answer_begins_behind_the_queue() -> None:
    rig = capped(1, upstream_queue_seconds=50, upstream_seconds=30)
    first, second = visitors(rig, 2)
    rig.pass_time(25)
    rig.app.connections[0].send(plain())
    rig.run()
    rig.pass_time(25)
    assert second.received == b""
    rig.app.connections[0].send(plain())
    rig.run()
    assert statuses([first, second]) == [200, 200]


def test_a_body_waits_with_its_request() -> None:
    rig = capped(1)
    visitors(rig, 1)
    sending = rig.connect()
    sending.send(request(b"/form", b"Content-Length: 6", method=b"POST"), b"abc", b"def")
    rig.run()
    assert (rig.upstreams.waiting, sending.is_read) == (1, False)
    rig.app.connections[0].send(plain())
    rig.run()
    # What may have an effect goes on a new connection, for which the old one makes room.
    assert (len(rig.app.connections), rig.upstreams.open) == (2, 1)
    assert [(seen.target, seen.body) for seen in rig.app.seen] == [(b"/0", b""), (b"/form", b"abcdef")]


def test_an_idle_connection_makes_room_for_a_request_that_needs_a_new_one() -> None:
    rig = capped(1)
    rig.app.answers(plain())
    assert rig.get().status == 200
    (answer,) = rig.ask(request(b"/", b"Content-Length: 0", method=b"POST"), methods=[b"POST"])
    assert answer.status == 200
    assert (rig.upstreams.open, rig.upstreams.idle, len(rig.app.connections)) == (1, 1, 2)


@pytest.mark.parametrize(("then", "status"), [("end", 200), ("reset", 502)])
def test_a_connection_that_is_closed_leaves_its_place_to_the_next(then: str, status: int) -> None:
    rig = capped(1)
    asking = visitors(rig, 3)
    for number in range(3):
        rig.app.connections[number].send(plain(b"hello", b"Connection: close"))
        getattr(rig.app.connections[number], then)()
        rig.run()
    assert statuses(asking) == [status] * 3
    assert (rig.upstreams.open, rig.upstreams.waiting) == (0, 0)


@pytest.mark.slow
def test_a_connection_that_cannot_be_made_leaves_its_place_to_the_next() -> None:
    rig = capped(1)
    rig.app.refuses = "refused"
    asking = visitors(rig, 1500)
    assert statuses(asking) == [502] * 1500
    assert (rig.upstreams.open, rig.upstreams.waiting) == (0, 0)


@pytest.mark.slow
def test_connections_that_fail_at_once_do_not_pile_up() -> None:
    rig = capped(1)
    asking = visitors(rig, 1500)
    rig.upstreams._dial = lambda upstream: upstream.dial_failed("refused")
    rig.app.connections[0].reset()
    rig.run()
    assert statuses(asking) == [502] * 1500
    assert (rig.upstreams.open, rig.upstreams.waiting) == (0, 0)


def test_a_request_that_is_asked_again_keeps_its_place() -> None:
    rig = capped(1)
    rig.app.answers(plain())
    assert rig.get().status == 200
    rig.app.on_request = lambda connection, seen: None
    asking = visitors(rig, 2)
    rig.app.connections[0].end()
    rig.run()
    assert targets(rig)[1:] == [b"/0", b"/0"]
    rig.app.answers(plain())
    rig.app.connections[1].send(plain())
    rig.run()
    assert statuses(asking) == [200, 200]
    assert (targets(rig)[3:], len(rig.app.connections), rig.upstreams.open) == ([b"/1"], 2, 1)


def test_a_tunnel_counts_as_long_as_it_lasts() -> None:
    rig = capped(1)
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def on_request(connection: AppConnection, seen: Seen) -> None:
        connection.raw = True
        connection.send(switched)

    rig.app.on_request = on_request
    tunnel = rig.connect()
    tunnel.send(request(b"/chat", b"Connection: Upgrade", b"Upgrade: websocket"))
    rig.run()
    rig.app.answers(plain())
    asking = visitors(rig, 1)
    assert (rig.upstreams.open, rig.upstreams.waiting) == (1, 1)
    tunnel.reset()
    rig.run()
    assert statuses(asking) == [200]


def test_those_who_wait_are_served_while_the_node_leaves() -> None:
    rig = capped(1)
    asking = visitors(rig, 3)
    rig.hub.draining = True
    rig.upstreams.close()
    rig.app.answers(plain())
    rig.app.connections[0].send(plain())
    rig.run()
    assert statuses(asking) == [200] * 3
    assert (rig.upstreams.open, rig.upstreams.idle) == (0, 0)


@pytest.mark.slow
def test_without_a_cap_nobody_waits() -> None:
    rig = capped(0)
    visitors(rig, 300)
    assert (len(rig.app.connections), rig.upstreams.waiting, rig.counters.upstream_waited) == (300, 0, 0)


# Applications with few workers.


class Prefork:
    """An application whose workers take one connection each, and keep it until it is closed."""

    def __init__(self, rig: Rig, workers: int, keeps: bool = True) -> None:
        self._rig = rig
        self._workers = workers
        self._keeps = keeps
        self._asked: dict[AppConnection, bool] = {}
        rig.app.on_request = self._on_request

    def _on_request(self, connection: AppConnection, seen: Seen) -> None:
        self._asked[connection] = True
        self._rig.loop.soon(self._work)

    def _work(self) -> None:
        here = [one for one in self._rig.app.connections if not one.far.aborted and not one.far.closed]
        for connection in here[: self._workers]:
            if self._asked.pop(connection, False):
                connection.send(plain(b"hello", *([] if self._keeps else [b"Connection: close"])))
                self._rig.loop.soon(self._work)

    def run(self, rounds: int) -> None:
        """Let a little time pass, again and again."""
        for _ in range(rounds):
            self._rig.clock.advance(RESTED_SECONDS)
            self._work()
            self._rig.run()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("most", [0, 8, 64])
@pytest.mark.parametrize("keeps", [True, False])
def test_few_workers_serve_many_visitors(workers: int, most: int, keeps: bool) -> None:
    rig = capped(most)
    prefork = Prefork(rig, workers, keeps)
    asking = visitors(rig, 64)
    prefork.run(150)
    assert statuses(asking) == [200] * 64
    # Each visitor's own, and hardly more: no connection is closed for nothing.
    assert len(rig.app.connections) <= 2 * 64


@pytest.mark.slow
def test_few_workers_whose_connections_are_used_again_and_again_take_new_ones_too() -> None:
    rig = capped(0)
    prefork = Prefork(rig, 2)
    asking = visitors(rig, 6)
    prefork._work()
    rig.run()
    busy = rig.connect()
    for _ in range(200):
        busy.send(request(b"/busy") * 10)
        rig.run()
        prefork.run(1)
    assert statuses(asking) == [200] * 6


@pytest.mark.slow
def test_a_slow_page_costs_few_idle_connections() -> None:
    rig = capped(0)
    rig.app.on_request = lambda connection, seen: connection.send(plain()) if seen.target != b"/slow" else None
    first = rig.connect()
    first.send(request(b"/slow"))
    rig.run()
    for _ in range(1000):
        rig.get()
        rig.clock.advance(0.01)
        rig.run()
    made = rig.counters.upstream_connections
    assert made <= 12, made
    rig.app.connections[0].send(plain())
    rig.run()
    before = rig.counters.upstream_made_way
    rig.clock.advance(100)
    assert rig.counters.upstream_made_way == before


@pytest.mark.slow
def test_an_application_that_is_slow_for_all_keeps_its_connections() -> None:
    rig = capped(0)
    asking = [rig.connect() for _ in range(40)]
    for _ in range(20):
        for visitor in asking:
            visitor.send(request())
        rig.run()
        rig.clock.advance(4 * UNHEARD_SECONDS)
        rig.run()
        for connection in rig.app.connections:
            connection.send(plain())
        rig.run()
    assert len(rig.app.connections) == 40
    assert rig.counters.upstream_made_way == 0


def test_idle_connections_that_nobody_needs_are_halved() -> None:
    rig = capped(0, upstream_idle_seconds=30)
    visitors(rig, 40)
    for connection in rig.app.connections:
        connection.send(plain())
    rig.run()
    assert rig.upstreams.idle == 40
    rig.pass_time(2)
    assert rig.upstreams.idle == 20
    rig.pass_time(6)
    assert rig.upstreams.idle == 1
    rig.pass_time(30)
    assert (rig.upstreams.idle, rig.upstreams.open) == (0, 0)


# The pool against a model.


class _Link:
    """Of a connection nothing but that it was closed matters here."""

    closed = False

    def abort(self) -> None:
        self.closed = True

    close = abort


class _User:
    def __init__(self, machine: PoolMachine, fresh: bool) -> None:
        self._machine = machine
        self.fresh = fresh
        self.upstream: UpstreamConnection | None = None

    def upstream_turn(self) -> None:
        assert self._machine.queue.pop(0) is self

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        assert self not in self._machine.queue
        assert not upstream.closed
        assert not (self.fresh and upstream.reused)
        self.upstream = upstream
        self._machine.served.append(self)

    def upstream_failed(self, why: str) -> None:
        pass

    def response_data(self, data: bytes) -> None:
        pass

    def response_end(self, in_order: bool) -> None:
        self._machine.served.remove(self)
        if self.upstream is not None and self.upstream.reused and not self.fresh:
            self.fresh = True
            if self._machine.pool.acquire(self, True, again=True):
                self._machine.queue.insert(0, self)

    upstream_full = upstream_drained = lambda self: None


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
        self.pool = Upstreams(
            dial=self.dialling.append,
            limits=limits,
            monotonic=self.clock.seconds,
            later=self.clock.callLater,
            counters=Counters(),
        )

    @rule(fresh=st.booleans())
    def come(self, fresh: bool) -> None:
        user = _User(self, fresh)
        if self.pool.acquire(user, fresh):
            self.queue.append(user)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(self.queue))
        self.queue.remove(user)
        self.pool.leave(user)

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
        # No waiter is forgotten: whoever waits, waits for somebody who has a connection.
        assert not self.queue or pool.open == self.most
        assert len(self.served) == len([one for one in self.made if one.user is not None])


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3])
def test_the_pool_against_a_model(most: int) -> None:
    machine = type("Machine", (PoolMachine,), {"most": most})
    run_state_machine_as_test(machine, settings=settings(max_examples=150, stateful_step_count=40))

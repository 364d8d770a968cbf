"""A visitor's connection: what it is refused for, and its deadlines and limits."""

from __future__ import annotations

import pytest

from lbcompanion.settings import LimitsTable
from lbcompanion.testing.memory_transport import RemoteEnd
from tests.support.http1_samples import ACCEPTED, BROKEN, REFUSED
from tests.support.in_memory_node import InMemoryNode, VisitorResponse, html, read_responses, request


def only(visitor: RemoteEnd, method: bytes = b"GET") -> VisitorResponse:
    (answer,) = read_responses(visitor.received, [method], visitor.eof or visitor.closed)
    return answer


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refused_head_gets_its_status_and_a_closed_connection(case: tuple[int, bytes]) -> None:
    status, raw = case
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(raw + b"abc\r\n0\r\n\r\n" + request(b"/smuggled"))
    companion.run()
    answer = only(visitor)
    assert answer.status == status
    assert answer.all(b"connection") == [b"close"]
    assert len(answer.all(b"date")) == 1
    assert visitor.eof
    visitor.send(request(b"/more"))
    companion.run()
    companion.pass_time(3)
    assert visitor.closed
    assert companion.application.heads == []
    assert companion.counters.refused[status] == 1
    assert companion.context.connections == set()
    assert companion.context.per_address == {}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_an_accepted_head_reaches_the_application_as_one_request(raw: bytes) -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(raw)
    companion.run()
    assert len(companion.application.heads) == 1
    assert companion.application.heads[0].all(b"upgrade") in ([], [b"websocket"])


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n\n", b"\n"])
@pytest.mark.parametrize("size", [1, 100])
def test_bare_line_feeds_are_refused_at_once(raw: bytes, size: int) -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(*[raw[at : at + size] for at in range(0, len(raw), size)])
    companion.run()
    assert only(visitor).status == 400


@pytest.mark.parametrize("written", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("target", [b"/", b"/_lbc/notice"])
def test_broken_chunks_get_400_and_a_closed_connection(written: bytes, target: bytes) -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request(target, b"Transfer-Encoding: chunked", method=b"POST"), written, request(b"/smuggled"))
    companion.run()
    assert only(visitor, b"POST").status in ({400} if target == b"/" else {400, 413})
    assert visitor.eof
    assert companion.application.received_requests == []
    assert all(connection.remote.closed for connection in companion.application.connections)
    companion.pass_time(3)
    assert companion.counters.connections_open == 0


def test_broken_chunks_behind_the_beginning_of_an_answer_end_it() -> None:
    companion = InMemoryNode()
    companion.application.on_head = lambda connection, seen: connection.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"
    )
    visitor = companion.connect()
    visitor.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
    companion.run()
    visitor.send(b"x\r\n")
    companion.run()
    assert visitor.aborted
    assert companion.application.connections[0].remote.closed


def test_empty_lines_before_a_request_are_read_over() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(b"\r\n\r\n" + request() + b"\r\n", b"\r", b"\n", request())
    companion.run()
    assert len(read_responses(visitor.received, [b"GET"] * 2, False)) == 2


@pytest.mark.parametrize("size", [65536 - 60, 70_000, 200_000])
def test_too_large_a_head_gets_431(size: int) -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    raw = request(b"/", b"X: " + b"a" * size)
    visitor.send(*[raw[at : at + 30_000] for at in range(0, len(raw), 30_000)])
    companion.run()
    assert only(visitor).status == (200 if len(raw) <= 65536 else 431)


def test_limits_can_be_set() -> None:
    companion = InMemoryNode(limits=LimitsTable(head_bytes=300, header_lines=3))
    assert companion.get(b"/", b"A: b", b"C: d").status == 200
    assert companion.get(b"/", b"A: b", b"C: d", b"E: f").status == 431
    assert companion.get(b"/" + b"a" * 300).status == 431


def test_a_refused_visitor_who_reads_nothing_is_let_go() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.stop_reading()
    visitor.send(b"GET /a b HTTP/1.1\r\n\r\n")
    companion.run()
    companion.pass_time(3)
    assert not visitor.closed
    companion.pass_time(61)
    assert visitor.closed
    assert companion.counters.connections_open == 0


# Deadlines.


def test_a_silent_visitor_is_disconnected() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    companion.pass_time(9)
    assert not visitor.closed
    companion.pass_time(3)
    assert visitor.closed
    assert visitor.received == b""


def test_the_head_has_an_absolute_deadline() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    for _ in range(12):
        visitor.send(b"G")
        companion.run()
        companion.pass_time(1)
    assert only(visitor).status == 408
    assert companion.counters.timeouts["head"] == 1
    companion.pass_time(3)
    assert visitor.closed


def test_so_have_later_heads_from_their_first_byte_on() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.pass_time(60)
    visitor.send(b"GET / HT")
    companion.run()
    companion.pass_time(8)
    assert not visitor.eof
    companion.pass_time(4)
    assert [answer.status for answer in read_responses(visitor.received, [b"GET"] * 2, True)] == [200, 408]


def test_idle_connections_are_closed() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.pass_time(74)
    assert not visitor.closed
    companion.pass_time(3)
    assert visitor.closed
    assert companion.counters.timeouts["idle"] == 1
    assert only(visitor).status == 200


@pytest.mark.parametrize("target", [b"/", b"/_lbc/notice"])
def test_a_body_that_trickles_is_given_up(target: bytes) -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request(target, b"Content-Length: 10000", method=b"POST"))
    for _ in range(42):
        visitor.send(b"a" * 100)
        companion.run()
        companion.pass_time(1)
    assert only(visitor, b"POST").status == 408
    assert companion.counters.timeouts["body"] == 1
    assert all(connection.remote.closed for connection in companion.application.connections)


def test_a_body_that_comes_fast_enough_is_waited_for() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 20000", method=b"POST"))
    for _ in range(100):
        visitor.send(b"a" * 200)
        companion.run()
        companion.pass_time(1)
    assert only(visitor, b"POST").status == 200
    assert len(companion.application.received_requests[0].body) == 20000


# Numbers of connections.


def test_connections_are_bounded_in_all() -> None:
    companion = InMemoryNode(limits=LimitsTable(connections=3))
    visitors = [companion.connect() for _ in range(4)]
    companion.run()
    assert only(visitors[3]).status == 503
    assert companion.counters.connections_refused == 1
    visitors[0].reset()
    assert companion.get().status == 200


@pytest.mark.slow
def test_who_is_turned_away_gets_to_read_it() -> None:
    """Further input is discarded; otherwise the close would be a reset, and the answer would be lost."""
    companion = InMemoryNode(limits=LimitsTable(connections=1))
    inside = companion.connect()
    rejected = [companion.connect() for _ in range(101)]
    companion.run()
    assert rejected[100].closed
    for one in rejected[:100]:
        assert one.eof
        assert not one.closed
        one.send(request())
    companion.run()
    assert {only(one).status for one in rejected} == {503}
    assert companion.application.received_requests == []
    rejected[0].send_eof()
    companion.run()
    assert rejected[0].closed
    rejected[1].reset()
    again = companion.connect()
    companion.run()
    assert not again.closed
    companion.pass_time(4)
    companion.run()
    assert all(one.closed for one in [*rejected, again])
    assert not companion.context.rejected
    assert not inside.closed


def test_connections_are_bounded_for_each_address() -> None:
    companion = InMemoryNode(limits=LimitsTable(connections_per_address=2))
    for _ in range(2):
        companion.connect()
    assert companion.get().status == 503
    assert companion.get(peer=("192.0.2.8", 1)).status == 200


def test_a_gone_connection_counts_no_more() -> None:
    companion = InMemoryNode(limits=LimitsTable(connections_per_address=1))
    for _ in range(3):
        visitor = companion.connect()
        visitor.send(request(b"/", b"Connection: close"))
        companion.run()
        assert only(visitor).status == 200
    assert companion.context.per_address == {}
    assert companion.counters.connections_open == 0


# Leaving.


def test_while_leaving_idle_connections_go_and_running_requests_end() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: connection.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
    )
    running, idle = companion.connect(), companion.connect()
    running.send(request())
    companion.run()
    companion.context.draining = True
    for connection in list(companion.context.connections):
        connection.close_if_idle()  # type: ignore[attr-defined]
    companion.run()
    assert idle.closed
    assert not running.closed
    companion.application.connections[0].send(b"cd")
    companion.run()
    assert only(running).body == b"abcd"
    assert running.closed
    assert companion.context.connections == set()


def test_while_leaving_who_was_let_in_at_the_last_moment_is_served() -> None:
    companion = InMemoryNode()
    companion.application.answers(html(b"x"))
    companion.context.draining = True
    answer = companion.get()
    assert (answer.status, answer.get(b"connection")) == (200, b"close")


def test_while_leaving_new_answers_say_so() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: None
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.context.draining = True
    companion.application.connections[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    companion.run()
    assert only(visitor).all(b"connection") == [b"close"]
    assert visitor.closed


def test_the_last_bytes_to_a_slow_reader_count_as_running() -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    visitor = companion.connect()
    visitor.stop_reading()
    visitor.send(request(b"/", b"Connection: close"))
    companion.run()
    assert len(companion.context.connections) == 1
    visitor.resume_reading()
    companion.run()
    assert only(visitor).body == b"hello"
    assert companion.context.connections == set()


@pytest.mark.parametrize("reads", [False, True])
def test_a_visitor_who_takes_nothing_more_is_let_go_and_a_late_one_is_not(reads: bool) -> None:
    companion = InMemoryNode(limits=LimitsTable(stalled_seconds=10, idle_seconds=5))
    companion.application.answers(html(b"x" * 300_000, b"Connection: close"))
    visitor = companion.connect()
    visitor.stop_reading()
    visitor.send(request())
    companion.run()
    companion.pass_time(8)
    if reads:
        visitor.resume_reading()
    companion.pass_time(8)
    assert visitor.aborted is not reads
    assert companion.counters.timeouts["stalled"] == (not reads)


def test_a_connection_ends_in_order_after_its_requests() -> None:
    companion = InMemoryNode(limits=LimitsTable(requests_per_connection=3))
    companion.application.answers(*[html(b"x")] * 3)
    visitor = companion.connect()
    visitor.send(request() * 4)
    companion.run()
    answers = read_responses(visitor.received, [b"GET"] * 3, visitor.eof)
    assert [answer.get(b"connection") for answer in answers] == [None, None, b"close"]
    assert visitor.eof
    assert companion.counters.connections_worn == 1


def test_a_request_cut_off_behind_another_is_not_waited_for() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: None
    visitor = companion.connect()
    visitor.send(request() + request(b"/more", b"Content-Length: 9", method=b"POST") + b"abc")
    companion.run()
    visitor.send_eof()
    companion.run()
    companion.application.connections[0].send(html(b"x"))
    companion.run()
    assert only(visitor).status == 200
    assert visitor.closed
    assert len(companion.application.received_requests) == 1


def test_the_deadlines_of_many_connections_are_checked_in_parts() -> None:
    node = InMemoryNode(limits=LimitsTable(connections_per_address=0, connections=5000))
    visitors = [node.connect(peer=(f"192.0.2.{number % 250}", number)) for number in range(1200)]
    now = node.clock.seconds() + 1000
    steps = node.context.tick_in_parts(now)
    next(steps)
    node.run()
    assert sum(visitor.closed for visitor in visitors) == 500
    # One that is closed between two parts is left out.
    left = [visitor for visitor in visitors if not visitor.closed]
    left[0].reset()
    node.run()
    assert [None for _ in steps] == [None]
    node.run()
    assert all(visitor.closed for visitor in visitors)
    assert node.counters.timeouts["head"] + node.counters.timeouts["idle"] == 1199
    assert not node.counters.failed_open

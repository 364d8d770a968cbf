"""A visitor's connection: what it is refused for, and its deadlines and limits."""

from __future__ import annotations

import pytest

from lbcompanion.settings import LimitsTable
from lbcompanion.testing.links import FarEnd
from tests.support.http1_samples import ACCEPTED, BROKEN, REFUSED
from tests.support.in_memory_node import Answer, Rig, html, read_answers, request


def only(visitor: FarEnd, method: bytes = b"GET") -> Answer:
    (answer,) = read_answers(visitor.received, [method], visitor.eof or visitor.closed)
    return answer


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refused_head_gets_its_status_and_a_closed_connection(case: tuple[int, bytes]) -> None:
    status, raw = case
    rig = Rig()
    visitor = rig.connect()
    visitor.send(raw + b"abc\r\n0\r\n\r\n" + request(b"/smuggled"))
    rig.run()
    answer = only(visitor)
    assert answer.status == status
    assert answer.all(b"connection") == [b"close"]
    assert visitor.eof
    visitor.send(request(b"/more"))
    rig.run()
    rig.pass_time(3)
    assert visitor.closed
    assert rig.app.heads == []
    assert rig.counters.refused[status] == 1
    assert rig.hub.connections == set()
    assert rig.hub.per_address == {}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_an_accepted_head_reaches_the_application_as_one_request(raw: bytes) -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(raw)
    rig.run()
    assert len(rig.app.heads) == 1
    assert rig.app.heads[0].all(b"upgrade") in ([], [b"websocket"])


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n\n", b"\n"])
@pytest.mark.parametrize("size", [1, 100])
def test_bare_line_feeds_are_refused_at_once(raw: bytes, size: int) -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(*[raw[at : at + size] for at in range(0, len(raw), size)])
    rig.run()
    assert only(visitor).status == 400


@pytest.mark.parametrize("written", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("target", [b"/", b"/_lbc/notice"])
def test_broken_chunks_get_400_and_a_closed_connection(written: bytes, target: bytes) -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request(target, b"Transfer-Encoding: chunked", method=b"POST"), written, request(b"/smuggled"))
    rig.run()
    assert only(visitor, b"POST").status in ({400} if target == b"/" else {400, 413})
    assert visitor.eof
    assert rig.app.seen == []
    assert all(connection.far.closed for connection in rig.app.connections)
    rig.pass_time(3)
    assert rig.counters.connections_open == 0


def test_broken_chunks_behind_the_beginning_of_an_answer_end_it() -> None:
    rig = Rig()
    rig.app.on_head = lambda connection, seen: connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
    visitor = rig.connect()
    visitor.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
    rig.run()
    visitor.send(b"x\r\n")
    rig.run()
    assert visitor.aborted
    assert rig.app.connections[0].far.closed


def test_empty_lines_before_a_request_are_read_over() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(b"\r\n\r\n" + request() + b"\r\n", b"\r", b"\n", request())
    rig.run()
    assert len(read_answers(visitor.received, [b"GET"] * 2, False)) == 2


@pytest.mark.parametrize("size", [65536 - 60, 70_000, 200_000])
def test_too_large_a_head_gets_431(size: int) -> None:
    rig = Rig()
    visitor = rig.connect()
    raw = request(b"/", b"X: " + b"a" * size)
    visitor.send(*[raw[at : at + 30_000] for at in range(0, len(raw), 30_000)])
    rig.run()
    assert only(visitor).status == (200 if len(raw) <= 65536 else 431)


def test_limits_can_be_set() -> None:
    rig = Rig(limits=LimitsTable(head_bytes=300, header_lines=3))
    assert rig.get(b"/", b"A: b", b"C: d").status == 200
    assert rig.get(b"/", b"A: b", b"C: d", b"E: f").status == 431
    assert rig.get(b"/" + b"a" * 300).status == 431


def test_a_refused_visitor_who_reads_nothing_is_let_go() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.stop_reading()
    visitor.send(b"GET /a b HTTP/1.1\r\n\r\n")
    rig.run()
    rig.pass_time(3)
    assert not visitor.closed
    rig.pass_time(61)
    assert visitor.closed
    assert rig.counters.connections_open == 0


# Deadlines.


def test_nobody_waits_for_a_visitor_who_says_nothing() -> None:
    rig = Rig()
    visitor = rig.connect()
    rig.pass_time(9)
    assert not visitor.closed
    rig.pass_time(3)
    assert visitor.closed
    assert visitor.received == b""


def test_the_head_has_an_absolute_deadline() -> None:
    rig = Rig()
    visitor = rig.connect()
    for _ in range(12):
        visitor.send(b"G")
        rig.run()
        rig.pass_time(1)
    assert only(visitor).status == 408
    assert rig.counters.timeouts["head"] == 1
    rig.pass_time(3)
    assert visitor.closed


def test_so_have_later_heads_from_their_first_byte_on() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.pass_time(60)
    visitor.send(b"GET / HT")
    rig.run()
    rig.pass_time(8)
    assert not visitor.eof
    rig.pass_time(4)
    assert [answer.status for answer in read_answers(visitor.received, [b"GET"] * 2, True)] == [200, 408]


def test_idle_connections_are_closed() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.pass_time(74)
    assert not visitor.closed
    rig.pass_time(3)
    assert visitor.closed
    assert rig.counters.timeouts["idle"] == 1
    assert only(visitor).status == 200


@pytest.mark.parametrize("target", [b"/", b"/_lbc/notice"])
def test_a_body_that_trickles_is_given_up(target: bytes) -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request(target, b"Content-Length: 10000", method=b"POST"))
    for _ in range(42):
        visitor.send(b"a" * 100)
        rig.run()
        rig.pass_time(1)
    assert only(visitor, b"POST").status == 408
    assert rig.counters.timeouts["body"] == 1
    assert all(connection.far.closed for connection in rig.app.connections)


def test_a_body_that_comes_fast_enough_is_waited_for() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 20000", method=b"POST"))
    for _ in range(100):
        visitor.send(b"a" * 200)
        rig.run()
        rig.pass_time(1)
    assert only(visitor, b"POST").status == 200
    assert len(rig.app.seen[0].body) == 20000


# Numbers of connections.


def test_connections_are_bounded_in_all() -> None:
    rig = Rig(limits=LimitsTable(connections=3))
    visitors = [rig.connect() for _ in range(4)]
    rig.run()
    assert only(visitors[3]).status == 503
    assert rig.counters.connections_refused == 1
    visitors[0].reset()
    assert rig.get().status == 200


def test_who_is_turned_away_gets_to_read_it() -> None:
    """What they still send is read over, else the close would be a reset that takes the answer along."""
    rig = Rig(limits=LimitsTable(connections=1))
    inside = rig.connect()
    turned_away = [rig.connect() for _ in range(101)]
    rig.run()
    assert turned_away[100].closed
    for one in turned_away[:100]:
        assert one.eof
        assert not one.closed
        one.send(request())
    rig.run()
    assert {only(one).status for one in turned_away} == {503}
    assert rig.app.seen == []
    turned_away[0].send_eof()
    rig.run()
    assert turned_away[0].closed
    turned_away[1].reset()
    again = rig.connect()
    rig.run()
    assert not again.closed
    rig.pass_time(4)
    rig.run()
    assert all(one.closed for one in [*turned_away, again])
    assert not rig.hub.turned_away
    assert not inside.closed


def test_connections_are_bounded_for_each_address() -> None:
    rig = Rig(limits=LimitsTable(connections_per_address=2))
    for _ in range(2):
        rig.connect()
    assert rig.get().status == 503
    assert rig.get(peer=("192.0.2.8", 1)).status == 200


def test_a_gone_connection_counts_no_more() -> None:
    rig = Rig(limits=LimitsTable(connections_per_address=1))
    for _ in range(3):
        visitor = rig.connect()
        visitor.send(request(b"/", b"Connection: close"))
        rig.run()
        assert only(visitor).status == 200
    assert rig.hub.per_address == {}
    assert rig.counters.connections_open == 0


# Leaving.


def test_while_leaving_idle_connections_go_and_running_requests_end() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    running, idle = rig.connect(), rig.connect()
    running.send(request())
    rig.run()
    rig.hub.draining = True
    for connection in list(rig.hub.connections):
        connection.close_if_idle()  # type: ignore[attr-defined]
    rig.run()
    assert idle.closed
    assert not running.closed
    rig.app.connections[0].send(b"cd")
    rig.run()
    assert only(running).body == b"abcd"
    assert running.closed
    assert rig.hub.connections == set()


def test_while_leaving_who_was_let_in_at_the_last_moment_is_served() -> None:
    rig = Rig()
    rig.app.answers(html(b"x"))
    rig.hub.draining = True
    answer = rig.get()
    assert (answer.status, answer.get(b"connection")) == (200, b"close")


def test_while_leaving_new_answers_say_so() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: None
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.hub.draining = True
    rig.app.connections[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    rig.run()
    assert only(visitor).all(b"connection") == [b"close"]
    assert visitor.closed


def test_the_last_bytes_to_a_slow_reader_count_as_running() -> None:
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    visitor = rig.connect()
    visitor.stop_reading()
    visitor.send(request(b"/", b"Connection: close"))
    rig.run()
    assert len(rig.hub.connections) == 1
    visitor.read_again()
    rig.run()
    assert only(visitor).body == b"hello"
    assert rig.hub.connections == set()


@pytest.mark.parametrize("reads", [False, True])
def test_a_visitor_who_takes_nothing_more_is_let_go_and_a_late_one_is_not(reads: bool) -> None:
    rig = Rig(limits=LimitsTable(stalled_seconds=10, idle_seconds=5))
    rig.app.answers(html(b"x" * 300_000, b"Connection: close"))
    visitor = rig.connect()
    visitor.stop_reading()
    visitor.send(request())
    rig.run()
    rig.pass_time(8)
    if reads:
        visitor.read_again()
    rig.pass_time(8)
    assert visitor.aborted is not reads
    assert rig.counters.timeouts["stalled"] == (not reads)


def test_a_connection_ends_in_order_after_its_requests() -> None:
    rig = Rig(limits=LimitsTable(requests_per_connection=3))
    rig.app.answers(*[html(b"x")] * 3)
    visitor = rig.connect()
    visitor.send(request() * 4)
    rig.run()
    answers = read_answers(visitor.received, [b"GET"] * 3, visitor.eof)
    assert [answer.get(b"connection") for answer in answers] == [None, None, b"close"]
    assert visitor.eof
    assert rig.counters.connections_worn == 1


def test_a_request_cut_off_behind_another_is_not_waited_for() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: None
    visitor = rig.connect()
    visitor.send(request() + request(b"/more", b"Content-Length: 9", method=b"POST") + b"abc")
    rig.run()
    visitor.send_eof()
    rig.run()
    rig.app.connections[0].send(html(b"x"))
    rig.run()
    assert only(visitor).status == 200
    assert visitor.closed
    assert len(rig.app.seen) == 1

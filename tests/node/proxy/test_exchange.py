"""One request and its answer: framing both ways, order, ends, retries, bad answers, time."""

from __future__ import annotations

import gzip
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.settings import LimitsTable
from lbcompanion.testing.memory_transport import HIGH_WATER, RemoteEnd
from lbcompanion.testing.strategies import cuts
from tests.support.in_memory_node import (
    PAGE,
    ApplicationConnection,
    InMemoryNode,
    ReceivedRequest,
    VisitorResponse,
    chunked,
    html,
    read_responses,
    request,
    without_tag,
)

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def plain(body: bytes = b"hello") -> bytes:
    return PLAIN + b"Content-Length: %d\r\n\r\n" % len(body) + body


# Connections that stay and go.


def test_connections_are_kept_on_both_sides() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    for _ in range(3):
        visitor.send(request())
        companion.run()
    assert len(read_responses(visitor.received, [b"GET"] * 3, False)) == 3
    assert not visitor.eof
    assert len(companion.application.connections) == 1
    assert companion.upstream_pool.idle == 1
    assert companion.counters.upstream_reused == 2


@pytest.mark.slow
def test_hundreds_of_pipelined_requests_are_answered_in_order() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: connection.send(plain(seen.target))
    targets = [b"/%d" % number for number in range(700)]
    visitor = companion.connect()
    visitor.send(b"".join(map(request, targets)))
    companion.run()
    answers = read_responses(visitor.received, [b"GET"] * 700, False)
    assert [answer.body for answer in answers] == targets
    assert len(companion.application.connections) == 1


@pytest.mark.slow
def test_pipelined_requests_to_us_are_answered_in_order_too() -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    visitor = companion.connect()
    visitor.send((request(b"/_lbc/whoami") + request()) * 500)
    companion.run()
    answers = read_responses(visitor.received, [b"GET"] * 1000, False)
    assert [len(answer.body) for answer in answers] == [14, 5] * 500


@pytest.mark.slow
def test_who_reads_no_answers_gets_no_more_made() -> None:
    companion = InMemoryNode()
    companion.application.answers(plain(bytes(10_000)))
    visitor = companion.connect()
    visitor.stop_reading()
    for _ in range(20):
        visitor.send(request(b"/?" + b"a" * 400) * 15)
    companion.run()
    assert len(companion.application.received_requests) < 20
    assert not visitor.is_read
    visitor.resume_reading()
    companion.run()
    assert len(read_responses(visitor.received, [b"GET"] * 300, False)) == 300
    assert visitor.is_read


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: keep-alive",), True),
    ],
)
@pytest.mark.parametrize("target", [b"/", b"/_lbc/whoami", b"/robots.txt"])
def test_who_may_ask_again(version: bytes, fields: tuple[bytes, ...], kept: bool, target: bytes) -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: connection.send(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" if seen.target == b"/robots.txt" else plain()
    )
    visitor = companion.connect()
    visitor.send(request(target, *fields, version=version))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof)
    assert visitor.eof is not kept
    connection = [b"close"] if not kept else [b"keep-alive"] if version == b"1.0" else []
    assert answer.all(b"connection") == connection
    assert answer.version == b"1.1"


def test_an_application_that_closes_is_not_asked_again_there() -> None:
    for line in (b"Connection: close\r\n", b""):
        companion = InMemoryNode()
        version = b"1.1" if line else b"1.0"
        companion.application.answers(b"HTTP/" + version + b" 200 OK\r\n" + line + b"Content-Length: 2\r\n\r\nhi")
        for _ in range(2):
            assert companion.get().body == b"hi"
        assert len(companion.application.connections) == 2
        assert companion.upstream_pool.idle == 0
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
    assert [companion.get().body, companion.get().body] == [b"hi", b"hi"]
    assert len(companion.application.connections) == 1


def test_what_an_application_says_unasked_is_never_an_answer() -> None:
    companion = InMemoryNode()
    companion.application.answers(plain() + plain(b"smuggled"))
    assert [companion.get().body, companion.get().body] == [b"hello", b"hello"]
    assert len(companion.application.connections) == 2
    companion = InMemoryNode()
    companion.application.answers(plain(), plain(b"late"))
    assert [companion.get().body, companion.get().body] == [b"hello", b"hello"]


def test_idle_connections_to_the_application_are_bounded_and_given_up() -> None:
    companion = InMemoryNode(limits=LimitsTable(upstream_idle=2))
    companion.application.on_request = lambda connection, seen: None
    visitors = [companion.connect() for _ in range(5)]
    for visitor in visitors:
        visitor.send(request())
    companion.run()
    for connection in companion.application.connections:
        connection.send(plain())
    companion.run()
    assert companion.upstream_pool.idle == 2
    companion.pass_time(31)
    assert companion.upstream_pool.idle == 0
    assert all(connection.remote.closed for connection in companion.application.connections)


# Framing.


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("way", ["length", "chunked", "close"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_every_framing_ends_where_it_should(method: bytes, page: bool, way: str, version: bytes, size: int) -> None:
    body = PAGE + b"x" * size if page else b"x" * size
    kind = b"text/html" if page else b"image/png"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind
    companion = InMemoryNode()
    sent = b"" if method == b"HEAD" else body
    if way == "length":
        raw, then = head + b"Content-Length: %d\r\n\r\n" % len(body) + sent, ""
    elif way == "chunked":
        coded = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        coded = b"" if method == b"HEAD" else coded + b"0\r\n\r\n"
        raw, then = head + b"Transfer-Encoding: chunked\r\n\r\n" + coded, ""
    else:
        raw, then = head + b"\r\n" + sent, "end"
    half = len(raw) // 2
    for pieces in ([raw], [raw[:half], raw[half:]]):
        companion.application.answers(*pieces, then=then)
        visitor = companion.connect()
        visitor.send(request(method=method, version=version))
        companion.run()
        (answer,) = read_responses(visitor.received, [method], visitor.eof or visitor.closed)
        assert answer.complete
        assert without_tag(answer.body) == sent
        assert len(answer.all(b"content-length")) + len(answer.all(b"transfer-encoding")) <= 1
        if version == b"1.0":
            assert not answer.all(b"transfer-encoding")
            assert visitor.eof
        else:
            assert not visitor.eof or (way == "close" and method == b"HEAD")
        if method == b"HEAD" and way == "length" and not page:
            assert answer.all(b"content-length") == [b"%d" % len(body)]
        if method == b"HEAD" and page:
            assert answer.all(b"content-length") == []


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (b"204 No Content", b""),
        (b"304 Not Modified", b'ETag: "x"\r\n'),
        (b"304 Not Modified", b"Content-Length: 500\r\n"),
        (b"205 Reset Content", b"Content-Length: 0\r\n"),
    ],
)
def test_answers_without_a_body(status: bytes, fields: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\n" + fields + b"\r\n")
    visitor = companion.connect()
    visitor.send(request() * 2)
    companion.run()
    first, second = read_responses(visitor.received, [b"GET"] * 2, False)
    assert first == second
    assert first.status == int(status[:3])
    assert first.body == b""
    assert len(companion.application.connections) == 1


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + plain(),
        b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n" + plain(),
    ],
)
def test_a_connection_whose_framing_contradicts_the_status_is_not_used_again(response: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(response)
    assert companion.get().status in {200, 204, 304}
    assert companion.upstream_pool.idle == 0
    assert companion.application.connections[0].remote.aborted


@pytest.mark.parametrize("field", [b"Content-Length: 0", b"Content-Length: 00"])
def test_an_empty_length_contradicts_nothing(field: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 204 No Content\r\n" + field + b"\r\n\r\n")
    companion.get()
    assert companion.upstream_pool.idle == 1


BODY = bytes(range(256)) * 20


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_request_bodies_of_a_length(version: bytes, pieces: int) -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    raw = request(b"/form", b"Content-Length: %d" % len(BODY), method=b"POST", version=version) + BODY
    step = len(raw) // pieces + 1
    (answer,) = companion.ask(*[raw[at : at + step] for at in range(0, len(raw), step)], methods=[b"POST"])
    assert answer.body == b"hello"
    (seen,) = companion.application.received_requests
    assert (seen.method, seen.target, seen.body) == (b"POST", b"/form", BODY)
    assert seen.all(b"content-length") == [b"%d" % len(BODY)]


@pytest.mark.slow
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.data())
def test_request_bodies_in_chunks(bodies: list[bytes], data: st.DataObject) -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    coded = b"".join(b"%x;ext\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\nX-Sum: 1\r\n\r\n"
    raw = request(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + coded + request()
    visitor = companion.connect()
    visitor.send(*data.draw(cuts(raw)))
    companion.run()
    assert len(read_responses(visitor.received, [b"PUT", b"GET"], False)) == 2
    first, second = companion.application.received_requests
    assert first.body == b"".join(bodies)
    assert first.all(b"transfer-encoding") == [b"chunked"]
    assert second.method == b"GET"


def test_an_empty_length_is_passed_on() -> None:
    companion = InMemoryNode()
    companion.get(b"/", b"Content-Length: 0", method=b"POST")
    assert companion.application.received_requests[0].all(b"content-length") == [b"0"]


def test_continue_and_hints_pass() -> None:
    companion = InMemoryNode()
    companion.application.on_head = lambda connection, seen: connection.send(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: y\r\nKeep-Alive: 1\r\n\r\n",
    )
    companion.application.answers(plain())
    visitor = companion.connect()
    visitor.send(request(b"/", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST"))
    companion.run()
    assert companion.application.heads[0].all(b"expect") == [b"100-continue"]
    assert visitor.received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink:")
    assert b"Keep-Alive" not in visitor.received
    assert b"X: y" not in visitor.received
    visitor.send(b"ab")
    companion.run()
    (answer,) = read_responses(visitor.received, [b"POST"], False)
    assert answer.interim == (100, 103)
    assert companion.application.received_requests[0].body == b"ab"
    old = companion.connect()
    old.send(request(version=b"1.0"))
    companion.run()
    assert old.received.startswith(b"HTTP/1.1 200")


def test_an_early_answer_ends_the_connection_behind_it() -> None:
    companion = InMemoryNode()
    companion.application.on_head = lambda connection, seen: connection.send(
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch"
    )
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 100000", method=b"POST"), b"a" * 1000)
    companion.run()
    (answer,) = read_responses(visitor.received, [b"POST"], visitor.eof)
    assert (answer.status, answer.body) == (413, b"much")
    assert answer.all(b"connection") == [b"close"]
    # It is read for a while yet, since closing with something unread would take the answer away from the visitor.
    assert visitor.eof
    assert not visitor.closed
    visitor.send(b"a" * 50000)
    companion.run()
    companion.pass_time(3)
    assert visitor.closed
    assert companion.application.connections[0].remote.closed
    assert companion.counters.connections_open == 0


# Upgrade.


def switching(companion: InMemoryNode, more: bytes = b"") -> RemoteEnd:
    def on_request(connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        connection.raw = True
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: x\r\n\r\n" + more
        )

    companion.application.on_request = on_request
    visitor = companion.connect()
    visitor.send(request(b"/ws", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket") + b"early")
    companion.run()
    return visitor


def test_a_tunnel_after_101() -> None:
    companion = InMemoryNode()
    visitor = switching(companion, b"hello")
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert (answer.status, answer.body) == (101, b"hello")
    assert answer.get(b"upgrade") == b"websocket"
    assert answer.get(b"sec-websocket-accept") == b"x"
    connection = companion.application.connections[0]
    assert companion.application.received_requests[0].get(b"upgrade") == b"websocket"
    assert connection.remote.received.endswith(b"\r\n\r\nearly")
    visitor.send(b"GET / HTTP/1.1\r\n\r\n\0\xff")
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    companion.run()
    assert connection.remote.received.endswith(b"earlyGET / HTTP/1.1\r\n\r\n\0\xff")
    assert visitor.received.endswith(b"helloHTTP/1.1 200 OK\r\n\r\n")
    companion.pass_time(500, 10)
    assert not visitor.closed
    assert companion.counters.tunnels == 1


def test_a_tunnel_ends_with_either_side() -> None:
    companion = InMemoryNode()
    visitor = switching(companion)
    visitor.send(b"bye")
    visitor.send_eof()
    companion.run()
    assert companion.application.connections[0].remote.received.endswith(b"bye")
    assert companion.application.connections[0].remote.closed
    assert visitor.closed
    companion = InMemoryNode()
    visitor = switching(companion)
    companion.application.connections[0].send(b"bye")
    companion.application.connections[0].end()
    companion.run()
    assert visitor.received.endswith(b"bye")
    assert visitor.closed
    assert companion.counters.connections_open == 0


def test_a_tunnel_has_back_pressure_both_ways() -> None:
    companion = InMemoryNode()
    visitor = switching(companion)
    connection = companion.application.connections[0]
    visitor.stop_reading()
    connection.send(*[bytes(10_000)] * 30)
    companion.run()
    assert not connection.remote.is_read
    visitor.resume_reading()
    companion.run()
    assert visitor.received.endswith(bytes(300_000))
    connection.remote.stop_reading()
    visitor.send(*[bytes(10_000)] * 30)
    companion.run()
    assert not visitor.is_read
    connection.remote.resume_reading()
    companion.run()
    assert connection.remote.received.endswith(bytes(300_000))


def test_no_tunnel_without_101() -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
    visitor = companion.connect()
    visitor.send(request(b"/", b"Connection: Upgrade", b"Upgrade: websocket") + request())
    companion.run()
    assert len(read_responses(visitor.received, [b"GET"] * 2, False)) == 2


@pytest.mark.parametrize(
    "fields",
    [(), (b"Upgrade: websocket",), (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: A")],
)
def test_a_switch_that_was_not_asked_for_is_no_answer(fields: tuple[bytes, ...]) -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert companion.get(b"/", *fields).status == 502
    assert companion.application.received_requests[0].get(b"upgrade") is None
    assert companion.application.received_requests[0].get(b"http2-settings") is None


# Back-pressure.


@pytest.mark.slow
def test_a_slow_visitor_slows_the_application_down() -> None:
    companion = InMemoryNode()
    size = 3_000_000
    companion.application.answers(PLAIN + b"Content-Length: %d\r\n\r\n" % size, *[bytes(10_000)] * 300)
    visitor = companion.connect()
    visitor.stop_reading()
    visitor.send(request())
    companion.run()
    assert not companion.application.connections[0].remote.is_read
    transport = visitor._transport
    assert HIGH_WATER < transport._queued < HIGH_WATER + 20_000
    visitor.resume_reading()
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert len(answer.body) == size


@pytest.mark.slow
def test_a_slow_application_slows_the_visitor_down() -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    companion.run()
    far = companion.application.connections[0].remote
    far.stop_reading()
    visitor.send(*[bytes(10_000)] * 300)
    companion.run()
    assert not visitor.is_read
    companion.pass_time(40)
    assert not visitor.closed, "the visitor is not slow: it is not read"
    far.resume_reading()
    companion.run()
    assert len(companion.application.received_requests[0].body) == 3_000_000
    assert read_responses(visitor.received, [b"POST"], False)[0].body == b"hello"


def test_an_application_that_takes_nothing_more_is_given_up() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    companion.run()
    companion.application.connections[0].remote.stop_reading()
    visitor.send(*[bytes(10_000)] * 300)
    companion.run()
    companion.pass_time(70)
    assert read_responses(visitor.received, [b"POST"], visitor.eof)[0].status == 504


def test_the_body_is_not_read_before_there_is_somebody_to_have_it() -> None:
    companion = InMemoryNode()
    companion.application.unresponsive = True
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    companion.run()
    assert not visitor.is_read


# Ends that come too early.


def test_a_visitor_who_leaves_takes_the_request_along() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: connection.send(html(PAGE)[:-20])
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    assert companion.copies.pending == 1
    assert companion.counters.capturing_bytes > 0
    visitor.reset()
    companion.run()
    assert companion.application.connections[0].remote.aborted
    assert companion.captured == []
    assert companion.copies.pending == 0
    assert companion.counters.capturing_bytes == 0
    assert companion.counters.not_captured["the visitor left"] == 1


def test_a_visitor_who_leaves_while_we_connect() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request())
    visitor._transport.deliver()
    visitor.reset()
    companion.run()
    assert companion.application.received_requests == []
    assert companion.upstream_pool.idle == 1


def test_a_visitor_who_breaks_off_its_body() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 10", method=b"POST"), b"12345")
    visitor.send_eof()
    companion.run()
    assert companion.application.connections[0].remote.aborted
    assert companion.application.received_requests == []


def test_a_visitor_who_closes_its_own_direction_gets_its_answers() -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    visitor = companion.connect()
    visitor.send(request() + request())
    visitor.send_eof()
    companion.run()
    first, second = read_responses(visitor.received, [b"GET"] * 2, visitor.eof)
    assert first.body == second.body == b"hello"
    assert second.all(b"connection") == [b"close"]
    assert visitor.closed


def test_a_half_closed_visitor_is_not_waited_for_long() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: None
    visitor = companion.connect()
    visitor.send(request())
    visitor.send_eof()
    companion.run()
    companion.pass_time(3)
    assert visitor.closed
    assert companion.application.connections[0].remote.aborted


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("way", ["length", "chunked"])
def test_an_application_that_dies_midway_is_seen_by_the_visitor(how: str, page: bool, way: str) -> None:
    body = PAGE if page else b"x" * 100
    kind = b"text/html" if page else b"image/png"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind
    if way == "length":
        raw = head + b"Content-Length: 5000\r\n\r\n" + body
    else:
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    companion = InMemoryNode()
    companion.application.answers(raw, then=how)
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    assert visitor.closed
    (answer,) = read_responses(visitor.received, [b"GET"], True)
    assert answer.status == 200
    assert not answer.complete
    assert companion.captured == []
    assert companion.copies.pending == 0
    assert companion.counters.capturing_bytes == 0
    assert companion.counters.upstream_errors["broke off"] == 1


def test_a_reset_is_no_end_of_a_body() -> None:
    companion = InMemoryNode()
    companion.application.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE, then="reset")
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    assert visitor.closed
    assert not read_responses(visitor.received, [b"GET"], True)[0].complete
    assert companion.captured == []
    old = companion.connect()
    old.send(request(version=b"1.0"))
    companion.run()
    assert old.aborted, "only the close shows its end, so it must not look complete"


# Trying again.


def idle(companion: InMemoryNode) -> ApplicationConnection:
    companion.application.answers(plain())
    companion.get()
    assert companion.upstream_pool.idle == 1
    return companion.application.connections[0]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_connection_that_died_while_it_idled_is_tried_again(method: bytes, how: str) -> None:
    companion = InMemoryNode()
    connection = idle(companion)
    first = connection.remote
    far_answers = companion.application.on_request

    def on_request(asked: ApplicationConnection, seen: ReceivedRequest) -> None:
        if asked.remote is first:
            getattr(asked, how)()
        elif method != b"HEAD":
            far_answers(asked, seen)
        else:
            asked.send(PLAIN + b"Content-Length: 5\r\n\r\n")

    companion.application.on_request = on_request
    assert companion.get(method=method).status == 200
    assert len(companion.application.connections) == 2
    assert [seen.method for seen in companion.application.received_requests[1:]] == [method, method]


def test_it_is_tried_once_only() -> None:
    companion = InMemoryNode()
    idle(companion)
    companion.application.on_request = lambda connection, seen: connection.end()
    assert companion.get().status == 502
    assert len(companion.application.connections) == 2


def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: connection.end()
    assert companion.get().status == 502
    assert len(companion.application.received_requests) == 1


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_what_may_have_an_effect_is_asked_once_and_on_a_fresh_connection(body: bytes) -> None:
    companion = InMemoryNode()
    idle(companion)
    companion.application.on_request = lambda connection, seen: connection.end()
    (answer,) = companion.ask(
        request(b"/", b"Content-Length: %d" % len(body), method=b"POST") + body, methods=[b"POST"]
    )
    assert answer.status == 502
    assert [seen.method for seen in companion.application.received_requests] == [b"GET", b"POST"]
    assert len(companion.application.connections) == 2


def test_half_a_head_is_not_tried_again() -> None:
    companion = InMemoryNode()
    connection = idle(companion)
    companion.application.answers(b"HTTP/1.1 200 OK\r\nContent-", then="end")
    assert companion.get().status == 502
    assert companion.application.connections == [connection]


@pytest.mark.parametrize(
    "stray", [[b"0\r\n\r\n"], [b"0\r\n", b"\r\n"], [b"\r\n"], [b"<html>"], [b"HT", b"ML\r\n\r\n"], [b"\0"]]
)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS"])
def test_bytes_of_an_earlier_response_are_no_answer(stray: list[bytes], method: bytes) -> None:
    companion = InMemoryNode()
    first = idle(companion)

    def on_request(connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        connection.send(*(stray if connection is first else [plain()]))

    companion.application.on_request = on_request
    assert companion.get(method=method).body == b"hello"
    assert len(companion.application.connections) == 2
    assert first.remote.aborted
    assert companion.counters.upstream_errors == {"stray bytes": 1}


@pytest.mark.slow
def test_stray_bytes_on_a_new_connection_are_refused_at_once() -> None:
    companion = InMemoryNode()
    companion.application.answers(b"0\r\n")
    assert companion.get().status == 502
    assert len(companion.application.connections) == 1


def test_stray_bytes_are_forgiven_once_only_and_never_for_a_request_with_an_effect() -> None:
    companion = InMemoryNode()
    idle(companion)
    companion.application.answers(b"0\r\n\r\n")
    assert companion.get().status == 502
    assert len(companion.application.connections) == 2
    (answer,) = companion.ask(request(b"/", b"Content-Length: 0", method=b"POST"), methods=[b"POST"])
    assert answer.status == 502
    assert len(companion.application.connections) == 3


def test_an_idle_connection_that_closes_is_not_taken() -> None:
    companion = InMemoryNode()
    idle(companion).end()
    companion.run()
    assert companion.upstream_pool.idle == 0
    assert companion.get().body == b"hello"
    assert companion.counters.upstream_reused == 0


# Applications that know their user by the connection.


def logged_in_by_connection(companion: InMemoryNode, kept: bytes = b"") -> dict[ApplicationConnection, bytes]:
    """An application with NTLM: two challenges, then each request on the connection is that user's.

    :param kept: a field of each answer.
    """
    users: dict[ApplicationConnection, bytes] = {}

    def on_request(connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        scheme, _, proof = (seen.get(b"authorization") or b"").partition(b" ")
        if scheme in {b"NTLM", b"Negotiate"} and proof.startswith(b"three-"):
            users[connection] = proof[len(b"three-") :]
        user = users.get(connection)
        extra = [kept] if kept else []
        if user is not None:
            connection.send(html(b"<!doctype html><title>mail of %b</title>" % user, *extra))
        elif seen.target == b"/open":
            connection.send(plain())
        else:
            challenge = b"WWW-Authenticate: NTLM" + (b" two" if proof else b"")
            connection.send(html(b"log in", challenge, status=b"401 Unauthorized"))

    companion.application.on_request = on_request
    return users


def said(companion: InMemoryNode, visitor: RemoteEnd, *requests: bytes) -> VisitorResponse:
    """The answer to the last request, on a connection where nothing else is under way."""
    before = len(visitor.received)
    visitor.send(*requests)
    companion.run()
    return read_responses(visitor.received[before:], [b"GET"], visitor.eof)[0]


def log_in(companion: InMemoryNode, visitor: RemoteEnd, name: bytes, scheme: bytes = b"NTLM") -> VisitorResponse:
    for proof in (b"", b" one", b" three-" + name):
        answer = said(companion, visitor, request(b"/mail", *([b"Authorization: " + scheme + proof] if proof else [])))
    return answer


@pytest.mark.parametrize("scheme", [b"NTLM", b"Negotiate"])
def test_a_connection_with_a_user_is_that_of_one_visitor(scheme: bytes) -> None:
    companion = InMemoryNode()
    logged_in_by_connection(companion)
    alice, bob = companion.connect(), companion.connect()
    assert b"mail of alice" in log_in(companion, alice, b"alice", scheme).body
    assert len(companion.application.connections) == 1, "all of a login goes over one connection"
    assert said(companion, bob, request(b"/mail")).status == 401
    assert b"mail of bob" in log_in(companion, bob, b"bob", scheme).body
    assert b"mail of alice" in said(companion, alice, request(b"/mail")).body
    assert said(companion, companion.connect(), request(b"/mail")).status == 401
    assert companion.upstream_pool.idle == 0
    assert (companion.upstream_pool.bound, companion.counters.upstream_bound) == (3, 3)
    copies = [page.body for page, _ in companion.captured]
    assert [body[body.index(b"mail of ") :][8:13] for body in copies] == [b"alice", b"bob</", b"alice"]
    alice.reset()
    companion.run()
    assert companion.application.connections[0].remote.aborted
    assert companion.upstream_pool.bound == 2


def test_a_request_with_an_effect_goes_over_the_connection_with_the_user() -> None:
    companion = InMemoryNode()
    logged_in_by_connection(companion)
    alice = companion.connect()
    log_in(companion, alice, b"alice")
    assert (
        b"mail of alice" in said(companion, alice, request(b"/mail", b"Content-Length: 2", method=b"POST") + b"hi").body
    )
    assert len(companion.application.connections) == 1


@pytest.mark.parametrize(
    "field",
    [b"Persistent-Auth: true", b"WWW-Authenticate: Negotiate oRQwEg", b'www-authenticate: Basic realm="a", ntlm'],
)
def test_a_connection_is_bound_by_what_the_application_says(field: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(html(PAGE, field))
    first, second = companion.connect(), companion.connect()
    for visitor in (first, second, first):
        assert said(companion, visitor, request()).status == 200
    assert len(companion.application.connections) == 2


@pytest.mark.parametrize(
    "field", [b"Authorization: Basic TlRMTTp4", b"Authorization: Bearer ntlm", b"Cookie: NTLM=1", b"X-NTLM: Negotiate"]
)
def test_other_logins_share_connections(field: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(plain())
    for _ in range(3):
        companion.get(b"/", field)
    assert (len(companion.application.connections), companion.upstream_pool.idle) == (1, 1)


def test_a_visitor_whose_connection_with_a_user_was_closed_logs_in_again() -> None:
    companion = InMemoryNode()
    logged_in_by_connection(companion)
    alice = companion.connect()
    log_in(companion, alice, b"alice")
    companion.application.connections[0].end()
    companion.run()
    assert said(companion, alice, request(b"/mail")).status == 401
    assert b"mail of alice" in log_in(companion, alice, b"alice").body
    assert len(companion.application.connections) == 2


def test_a_visitor_who_comes_no_more_leaves_no_connection_with_a_user() -> None:
    companion = InMemoryNode()
    logged_in_by_connection(companion)
    alice = companion.connect()
    log_in(companion, alice, b"alice")
    said(companion, alice, request(b"/mail", b"Connection: close"))
    companion.run()
    assert (companion.upstream_pool.bound, companion.upstream_pool.open, companion.upstream_pool.idle) == (0, 0, 0)


def test_connections_with_users_make_way_at_the_limit() -> None:
    companion = InMemoryNode(limits=LimitsTable(upstream_connections=2))
    logged_in_by_connection(companion)
    alice, bob, carol = (companion.connect() for _ in range(3))
    log_in(companion, alice, b"alice")
    log_in(companion, bob, b"bob")
    carol.send(request(b"/open"))
    companion.run()
    assert (carol.received, companion.upstream_pool.waiting) == (b"", 1), "both are used just now"
    companion.pass_time(2)
    assert read_responses(carol.received, [b"GET"], False)[0].body == b"hello"
    assert said(companion, alice, request(b"/mail")).status == 401
    assert b"mail of bob" in said(companion, bob, request(b"/mail")).body


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["log in", "mail", "open", "leave", "close"])), max_size=25)
)
def test_no_visitor_gets_bytes_of_anothers_response(steps: list[tuple[int, str]]) -> None:
    companion = InMemoryNode(limits=LimitsTable(upstream_connections=3, head_seconds=999, idle_seconds=999))
    logged_in_by_connection(companion)
    visitors = [companion.connect() for _ in range(4)]
    for number, step in steps:
        companion.pass_time(2)
        visitor = visitors[number]
        name = b"visitor-%d" % number
        if step == "log in":
            assert name in log_in(companion, visitor, name).body
        elif step == "leave":
            visitor.reset()
            companion.run()
            visitors[number] = companion.connect()
        elif step == "close":
            for connection in companion.application.connections[:1]:
                connection.end()
            companion.run()
        else:
            answer = said(companion, visitor, request(b"/" + step.encode()))
            assert b"mail of" not in answer.body or b"mail of " + name in answer.body


# No usable answer.

BAD = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "bad chunks": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a head of 300 KB": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_bad_answer_becomes_502(raw: bytes, method: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(raw)
    visitor = companion.connect()
    visitor.send(request(b"/", b"Content-Length: 0", method=method))
    companion.run()
    (answer,) = read_responses(visitor.received, [method], False)
    assert answer.status == 502
    assert answer.get(b"cache-control") == b"no-store"
    assert companion.application.connections[0].remote.aborted
    assert companion.copies.pending == 0
    assert companion.counters.capturing_bytes == 0
    assert sum(companion.counters.responses.values()) == 1
    companion.application.answers(plain())
    visitor.send(request())
    companion.run()
    assert read_responses(visitor.received, [method, b"GET"], False)[1].body == b"hello"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X: " + b"a" * 350, 200),
        (b"X: " + b"a" * 500, 502),
        (b"\r\n".join([b"X: a"] * 8), 200),
        (b"\r\n".join([b"X: a"] * 9), 502),
    ],
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_head_of_a_response_has_limits(head: bytes, status: int, pieces: int) -> None:
    companion = InMemoryNode(limits=LimitsTable(upstream_head_bytes=450, header_lines=10))
    raw = PLAIN + head + b"\r\nContent-Length: 5\r\n\r\nhello"
    size = len(raw) // pieces + 1
    companion.application.answers(*(raw[at : at + size] for at in range(0, len(raw), size)))
    assert companion.get().status == status
    assert companion.counters.upstream_errors == ({"head too large": 1} if status == 502 else {})


NO_DATE = {
    "a page": html(),
    "no page": plain(),
    "chunks": chunked(PAGE),
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a date as hop-by-hop": b"HTTP/1.1 204 No Content\r\nConnection: x-a, y-b\r\nX-A: 1\r\n\r\n",
    "no answer": b"hello\r\n\r\n",
    "404": html(b"", status=b"404 Not Found"),
}


@pytest.mark.parametrize("target", [b"/", b"/robots.txt"])
@pytest.mark.parametrize("response", NO_DATE.values(), ids=NO_DATE)
def test_every_response_has_one_date(response: bytes, target: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(response)
    (date,) = companion.get(target).all(b"date")
    assert date == formatdate(companion.now(), usegmt=True).encode()


def test_the_date_of_the_application_stays() -> None:
    companion = InMemoryNode()
    companion.application.answers(html(PAGE, b"dAte: Mon, 23 Nov 2026 20:30:00 GMT"))
    assert companion.get().all(b"date") == [b"Mon, 23 Nov 2026 20:30:00 GMT"]


def test_bad_chunks_later_on_are_seen_by_the_visitor() -> None:
    companion = InMemoryNode()
    companion.application.answers(chunked(PAGE, last=False), b"x\r\n")
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    assert visitor.closed
    assert companion.captured == []


@pytest.mark.parametrize(("why", "status"), [("refused", 502), ("timeout", 504), ("unreachable", 502)])
def test_an_application_that_cannot_be_reached(why: str, status: int) -> None:
    companion = InMemoryNode()
    companion.application.connect_error = why
    visitor = companion.connect()
    visitor.send(request() + request(b"/", b"Content-Length: 3", method=b"POST") + b"abc")
    companion.run()
    answers = read_responses(visitor.received, [b"GET", b"POST"], visitor.eof)
    assert [answer.status for answer in answers] == [status, status]
    assert companion.counters.upstream_errors[why] == 2


def test_an_application_that_does_not_answer() -> None:
    companion = InMemoryNode()
    companion.application.on_request = lambda connection, seen: None
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.pass_time(59)
    assert visitor.received == b""
    companion.pass_time(3)
    assert read_responses(visitor.received, [b"GET"], False)[0].status == 504
    assert companion.application.connections[0].remote.aborted
    assert companion.counters.timeouts["upstream"] == 1


def test_an_application_that_does_not_take_the_connection() -> None:
    companion = InMemoryNode()
    companion.application.unresponsive = True
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.pass_time(7)
    assert read_responses(visitor.received, [b"GET"], False)[0].status == 504


def test_a_slow_answer_that_has_begun_is_waited_for() -> None:
    companion = InMemoryNode()
    companion.application.answers(chunked(b"<p>one", last=False))
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    companion.pass_time(300, 10)
    companion.application.connections[0].send(b"3\r\ntwo\r\n0\r\n\r\n")
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert answer.complete
    assert without_tag(answer.body) == b"<p>onetwo"


def test_events_go_out_one_by_one() -> None:
    companion = InMemoryNode()
    companion.application.answers(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    for number in range(3):
        companion.application.connections[0].send(b"9\r\ndata: %d\n\n\r\n" % number)
        companion.run()
        assert visitor.received.endswith(b"9\r\ndata: %d\n\n\r\n" % number)


# The same for any cut.


def _pages() -> dict[str, bytes]:
    long = PAGE.replace(b"<p>", b"<p>" + b"many words " * 50)
    coded = gzip.compress(long, mtime=0)
    return {
        "length": html(),
        "chunked": chunked(PAGE[:30], PAGE[30:31], PAGE[31:]),
        "gzip": html(coded, b"Content-Encoding: gzip"),
        "two members": html(
            gzip.compress(long[:100], mtime=0) + gzip.compress(long[100:], mtime=0), b"Content-Encoding: gzip"
        ),
        "no page": plain(b"x" * 100),
    }


PAGES = _pages()


@pytest.mark.slow
@given(st.sampled_from(sorted(PAGES)), st.data())
def test_any_cut_gives_the_visitor_and_the_store_the_same(name: str, data: st.DataObject) -> None:
    raw = PAGES[name]
    post = request(b"/form?x=1", b"Accept-Encoding: gzip", b"Transfer-Encoding: chunked", method=b"POST")
    asked = request(b"/", b"Accept-Encoding: gzip") + post + b"3\r\nabc\r\n0\r\n\r\n"

    def outcome(request_pieces: list[bytes], answer_pieces: list[bytes]) -> object:
        companion = InMemoryNode()
        companion.application.answers(*answer_pieces)
        visitor = companion.connect()
        visitor.send(*request_pieces)
        companion.run()
        answers = read_responses(visitor.received, [b"GET", b"POST"], False)
        bodies = [
            gzip.decompress(answer.body) if answer.get(b"content-encoding") else answer.body for answer in answers
        ]
        return (
            bodies,
            [page for page, _ in companion.captured],
            [(seen.target, seen.body) for seen in companion.application.received_requests],
        )

    assert outcome(data.draw(cuts(asked)), data.draw(cuts(raw))) == outcome([asked], [raw])

"""One request and its answer: framing both ways, order, ends, retries, bad answers, time."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.settings import LimitsTable
from lbcompanion.testing.links import HIGH_WATER, FarEnd
from lbcompanion.testing.strategies import cuts
from tests.support.in_memory_node import (
    PAGE,
    AppConnection,
    Rig,
    Seen,
    chunked,
    html,
    read_answers,
    request,
    without_tag,
)

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def plain(body: bytes = b"hello") -> bytes:
    return PLAIN + b"Content-Length: %d\r\n\r\n" % len(body) + body


# Connections that stay and go.


def test_connections_are_kept_on_both_sides() -> None:
    rig = Rig()
    visitor = rig.connect()
    for _ in range(3):
        visitor.send(request())
        rig.run()
    assert len(read_answers(visitor.received, [b"GET"] * 3, False)) == 3
    assert not visitor.eof
    assert len(rig.app.connections) == 1
    assert rig.upstreams.idle == 1
    assert rig.counters.upstream_reused == 2


@pytest.mark.slow
def test_hundreds_of_pipelined_requests_are_answered_in_order() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: connection.send(plain(seen.target))
    targets = [b"/%d" % number for number in range(700)]
    visitor = rig.connect()
    visitor.send(b"".join(map(request, targets)))
    rig.run()
    answers = read_answers(visitor.received, [b"GET"] * 700, False)
    assert [answer.body for answer in answers] == targets
    assert len(rig.app.connections) == 1


@pytest.mark.slow
def test_pipelined_requests_to_us_are_answered_in_order_too() -> None:
    rig = Rig()
    rig.app.answers(plain())
    visitor = rig.connect()
    visitor.send((request(b"/_lbc/whoami") + request()) * 500)
    rig.run()
    answers = read_answers(visitor.received, [b"GET"] * 1000, False)
    assert [len(answer.body) for answer in answers] == [14, 5] * 500


@pytest.mark.slow
def test_who_reads_no_answers_gets_no_more_made() -> None:
    rig = Rig()
    rig.app.answers(plain(bytes(10_000)))
    visitor = rig.connect()
    visitor.stop_reading()
    for _ in range(20):
        visitor.send(request(b"/?" + b"a" * 400) * 15)
    rig.run()
    assert len(rig.app.seen) < 20
    assert not visitor.is_read
    visitor.read_again()
    rig.run()
    assert len(read_answers(visitor.received, [b"GET"] * 300, False)) == 300
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
    rig = Rig()
    rig.app.on_request = lambda connection, seen: connection.send(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" if seen.target == b"/robots.txt" else plain()
    )
    visitor = rig.connect()
    visitor.send(request(target, *fields, version=version))
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], visitor.eof)
    assert visitor.eof is not kept
    connection = [b"close"] if not kept else [b"keep-alive"] if version == b"1.0" else []
    assert answer.all(b"connection") == connection
    assert answer.version == b"1.1"


def test_an_application_that_closes_is_not_asked_again_there() -> None:
    for line in (b"Connection: close\r\n", b""):
        rig = Rig()
        version = b"1.1" if line else b"1.0"
        rig.app.answers(b"HTTP/" + version + b" 200 OK\r\n" + line + b"Content-Length: 2\r\n\r\nhi")
        for _ in range(2):
            assert rig.get().body == b"hi"
        assert len(rig.app.connections) == 2
        assert rig.upstreams.idle == 0
    rig = Rig()
    rig.app.answers(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
    assert [rig.get().body, rig.get().body] == [b"hi", b"hi"]
    assert len(rig.app.connections) == 1


def test_what_an_application_says_unasked_is_never_an_answer() -> None:
    rig = Rig()
    rig.app.answers(plain() + plain(b"smuggled"))
    assert [rig.get().body, rig.get().body] == [b"hello", b"hello"]
    assert len(rig.app.connections) == 2
    rig = Rig()
    rig.app.answers(plain(), plain(b"late"))
    assert [rig.get().body, rig.get().body] == [b"hello", b"hello"]


def test_idle_connections_to_the_application_are_bounded_and_given_up() -> None:
    rig = Rig(limits=LimitsTable(upstream_idle=2))
    rig.app.on_request = lambda connection, seen: None
    visitors = [rig.connect() for _ in range(5)]
    for visitor in visitors:
        visitor.send(request())
    rig.run()
    for connection in rig.app.connections:
        connection.send(plain())
    rig.run()
    assert rig.upstreams.idle == 2
    rig.pass_time(31)
    assert rig.upstreams.idle == 0
    assert all(connection.far.closed for connection in rig.app.connections)


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
    rig = Rig()
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
        rig.app.answers(*pieces, then=then)
        visitor = rig.connect()
        visitor.send(request(method=method, version=version))
        rig.run()
        (answer,) = read_answers(visitor.received, [method], visitor.eof or visitor.closed)
        assert answer.whole
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
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\n" + fields + b"\r\n")
    visitor = rig.connect()
    visitor.send(request() * 2)
    rig.run()
    first, second = read_answers(visitor.received, [b"GET"] * 2, False)
    assert first == second
    assert first.status == int(status[:3])
    assert first.body == b""
    assert len(rig.app.connections) == 1


BODY = bytes(range(256)) * 20


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_request_bodies_of_a_length(version: bytes, pieces: int) -> None:
    rig = Rig()
    rig.app.answers(plain())
    raw = request(b"/form", b"Content-Length: %d" % len(BODY), method=b"POST", version=version) + BODY
    step = len(raw) // pieces + 1
    (answer,) = rig.ask(*[raw[at : at + step] for at in range(0, len(raw), step)], methods=[b"POST"])
    assert answer.body == b"hello"
    (seen,) = rig.app.seen
    assert (seen.method, seen.target, seen.body) == (b"POST", b"/form", BODY)
    assert seen.all(b"content-length") == [b"%d" % len(BODY)]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.data())
def test_request_bodies_in_chunks(bodies: list[bytes], data: st.DataObject) -> None:
    rig = Rig()
    rig.app.answers(plain())
    coded = b"".join(b"%x;ext\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\nX-Sum: 1\r\n\r\n"
    raw = request(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + coded + request()
    visitor = rig.connect()
    visitor.send(*data.draw(cuts(raw)))
    rig.run()
    assert len(read_answers(visitor.received, [b"PUT", b"GET"], False)) == 2
    first, second = rig.app.seen
    assert first.body == b"".join(bodies)
    assert first.all(b"transfer-encoding") == [b"chunked"]
    assert second.method == b"GET"


def test_an_empty_length_is_passed_on() -> None:
    rig = Rig()
    rig.get(b"/", b"Content-Length: 0", method=b"POST")
    assert rig.app.seen[0].all(b"content-length") == [b"0"]


def test_continue_and_hints_pass() -> None:
    rig = Rig()
    rig.app.on_head = lambda connection, seen: connection.send(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: y\r\nKeep-Alive: 1\r\n\r\n",
    )
    rig.app.answers(plain())
    visitor = rig.connect()
    visitor.send(request(b"/", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST"))
    rig.run()
    assert rig.app.heads[0].all(b"expect") == [b"100-continue"]
    assert visitor.received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink:")
    assert b"Keep-Alive" not in visitor.received
    assert b"X: y" not in visitor.received
    visitor.send(b"ab")
    rig.run()
    (answer,) = read_answers(visitor.received, [b"POST"], False)
    assert answer.interim == (100, 103)
    assert rig.app.seen[0].body == b"ab"
    old = rig.connect()
    old.send(request(version=b"1.0"))
    rig.run()
    assert old.received.startswith(b"HTTP/1.1 200")


def test_an_early_answer_ends_the_connection_behind_it() -> None:
    rig = Rig()
    rig.app.on_head = lambda connection, seen: connection.send(
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch"
    )
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 100000", method=b"POST"), b"a" * 1000)
    rig.run()
    (answer,) = read_answers(visitor.received, [b"POST"], visitor.eof)
    assert (answer.status, answer.body) == (413, b"much")
    assert answer.all(b"connection") == [b"close"]
    # It is read for a while yet, since closing with something unread would take the answer away from the visitor.
    assert visitor.eof
    assert not visitor.closed
    visitor.send(b"a" * 50000)
    rig.run()
    rig.pass_time(3)
    assert visitor.closed
    assert rig.app.connections[0].far.closed
    assert rig.counters.connections_open == 0


# Upgrade.


def switching(rig: Rig, more: bytes = b"") -> FarEnd:
    def on_request(connection: AppConnection, seen: Seen) -> None:
        connection.raw = True
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: x\r\n\r\n" + more
        )

    rig.app.on_request = on_request
    visitor = rig.connect()
    visitor.send(request(b"/ws", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket") + b"early")
    rig.run()
    return visitor


def test_a_tunnel_after_101() -> None:
    rig = Rig()
    visitor = switching(rig, b"hello")
    (answer,) = read_answers(visitor.received, [b"GET"], False)
    assert (answer.status, answer.body) == (101, b"hello")
    assert answer.get(b"upgrade") == b"websocket"
    assert answer.get(b"sec-websocket-accept") == b"x"
    connection = rig.app.connections[0]
    assert rig.app.seen[0].get(b"upgrade") == b"websocket"
    assert connection.far.received.endswith(b"\r\n\r\nearly")
    visitor.send(b"GET / HTTP/1.1\r\n\r\n\0\xff")
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    rig.run()
    assert connection.far.received.endswith(b"earlyGET / HTTP/1.1\r\n\r\n\0\xff")
    assert visitor.received.endswith(b"helloHTTP/1.1 200 OK\r\n\r\n")
    rig.pass_time(500, 10)
    assert not visitor.closed
    assert rig.counters.tunnels == 1


def test_a_tunnel_ends_with_either_side() -> None:
    rig = Rig()
    visitor = switching(rig)
    visitor.send(b"bye")
    visitor.send_eof()
    rig.run()
    assert rig.app.connections[0].far.received.endswith(b"bye")
    assert rig.app.connections[0].far.closed
    assert visitor.closed
    rig = Rig()
    visitor = switching(rig)
    rig.app.connections[0].send(b"bye")
    rig.app.connections[0].end()
    rig.run()
    assert visitor.received.endswith(b"bye")
    assert visitor.closed
    assert rig.counters.connections_open == 0


def test_a_tunnel_has_back_pressure_both_ways() -> None:
    rig = Rig()
    visitor = switching(rig)
    connection = rig.app.connections[0]
    visitor.stop_reading()
    connection.send(*[bytes(10_000)] * 30)
    rig.run()
    assert not connection.far.is_read
    visitor.read_again()
    rig.run()
    assert visitor.received.endswith(bytes(300_000))
    connection.far.stop_reading()
    visitor.send(*[bytes(10_000)] * 30)
    rig.run()
    assert not visitor.is_read
    connection.far.read_again()
    rig.run()
    assert connection.far.received.endswith(bytes(300_000))


def test_no_tunnel_without_101() -> None:
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
    visitor = rig.connect()
    visitor.send(request(b"/", b"Connection: Upgrade", b"Upgrade: websocket") + request())
    rig.run()
    assert len(read_answers(visitor.received, [b"GET"] * 2, False)) == 2


@pytest.mark.parametrize(
    "fields",
    [(), (b"Upgrade: websocket",), (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: A")],
)
def test_a_switch_that_was_not_asked_for_is_no_answer(fields: tuple[bytes, ...]) -> None:
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert rig.get(b"/", *fields).status == 502
    assert rig.app.seen[0].get(b"upgrade") is None
    assert rig.app.seen[0].get(b"http2-settings") is None


# Back-pressure.


def test_a_slow_visitor_slows_the_application_down() -> None:
    rig = Rig()
    size = 3_000_000
    rig.app.answers(PLAIN + b"Content-Length: %d\r\n\r\n" % size, *[bytes(10_000)] * 300)
    visitor = rig.connect()
    visitor.stop_reading()
    visitor.send(request())
    rig.run()
    assert not rig.app.connections[0].far.is_read
    link = visitor._link
    assert HIGH_WATER < link._queued < HIGH_WATER + 20_000
    visitor.read_again()
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], False)
    assert len(answer.body) == size


@pytest.mark.slow
def test_a_slow_application_slows_the_visitor_down() -> None:
    rig = Rig()
    rig.app.answers(plain())
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    rig.run()
    far = rig.app.connections[0].far
    far.stop_reading()
    visitor.send(*[bytes(10_000)] * 300)
    rig.run()
    assert not visitor.is_read
    rig.pass_time(40)
    assert not visitor.closed, "the visitor is not slow: it is not read"
    far.read_again()
    rig.run()
    assert len(rig.app.seen[0].body) == 3_000_000
    assert read_answers(visitor.received, [b"POST"], False)[0].body == b"hello"


def test_an_application_that_takes_nothing_more_is_given_up() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    rig.run()
    rig.app.connections[0].far.stop_reading()
    visitor.send(*[bytes(10_000)] * 300)
    rig.run()
    rig.pass_time(70)
    assert read_answers(visitor.received, [b"POST"], visitor.eof)[0].status == 504


def test_the_body_is_not_read_before_there_is_somebody_to_have_it() -> None:
    rig = Rig()
    rig.app.silent = True
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 3000000", method=b"POST"))
    rig.run()
    assert not visitor.is_read


# Ends that come too early.


def test_a_visitor_who_leaves_takes_the_request_along() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: connection.send(html(PAGE)[:-20])
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    assert rig.copies.pending == 1
    assert rig.counters.capturing_bytes > 0
    visitor.reset()
    rig.run()
    assert rig.app.connections[0].far.aborted
    assert rig.kept == []
    assert rig.copies.pending == 0
    assert rig.counters.capturing_bytes == 0
    assert rig.counters.not_captured["the visitor left"] == 1


def test_a_visitor_who_leaves_while_we_connect() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request())
    visitor._link.deliver()
    visitor.reset()
    rig.run()
    assert rig.app.seen == []
    assert rig.upstreams.idle == 1


def test_a_visitor_who_breaks_off_its_body() -> None:
    rig = Rig()
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 10", method=b"POST"), b"12345")
    visitor.send_eof()
    rig.run()
    assert rig.app.connections[0].far.aborted
    assert rig.app.seen == []


def test_a_visitor_who_closes_its_own_direction_gets_its_answers() -> None:
    rig = Rig()
    rig.app.answers(plain())
    visitor = rig.connect()
    visitor.send(request() + request())
    visitor.send_eof()
    rig.run()
    first, second = read_answers(visitor.received, [b"GET"] * 2, visitor.eof)
    assert first.body == second.body == b"hello"
    assert second.all(b"connection") == [b"close"]
    assert visitor.closed


def test_a_half_closed_visitor_is_not_waited_for_long() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: None
    visitor = rig.connect()
    visitor.send(request())
    visitor.send_eof()
    rig.run()
    rig.pass_time(3)
    assert visitor.closed
    assert rig.app.connections[0].far.aborted


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
    rig = Rig()
    rig.app.answers(raw, then=how)
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    assert visitor.closed
    (answer,) = read_answers(visitor.received, [b"GET"], True)
    assert answer.status == 200
    assert not answer.whole
    assert rig.kept == []
    assert rig.copies.pending == 0
    assert rig.counters.capturing_bytes == 0
    assert rig.counters.upstream_errors["broke off"] == 1


def test_a_reset_is_no_end_of_a_body() -> None:
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE, then="reset")
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    assert visitor.closed
    assert not read_answers(visitor.received, [b"GET"], True)[0].whole
    assert rig.kept == []
    old = rig.connect()
    old.send(request(version=b"1.0"))
    rig.run()
    assert old.aborted, "its end is told by the close alone, so it must not look like one"


# Trying again.


def idle(rig: Rig) -> AppConnection:
    rig.app.answers(plain())
    rig.get()
    assert rig.upstreams.idle == 1
    return rig.app.connections[0]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_connection_that_died_while_it_idled_is_tried_anew(method: bytes, how: str) -> None:
    rig = Rig()
    connection = idle(rig)
    first = connection.far
    far_answers = rig.app.on_request

    def on_request(asked: AppConnection, seen: Seen) -> None:
        if asked.far is first:
            getattr(asked, how)()
        elif method != b"HEAD":
            far_answers(asked, seen)
        else:
            asked.send(PLAIN + b"Content-Length: 5\r\n\r\n")

    rig.app.on_request = on_request
    assert rig.get(method=method).status == 200
    assert len(rig.app.connections) == 2
    assert [seen.method for seen in rig.app.seen[1:]] == [method, method]


def test_it_is_tried_once_only() -> None:
    rig = Rig()
    idle(rig)
    rig.app.on_request = lambda connection, seen: connection.end()
    assert rig.get().status == 502
    assert len(rig.app.connections) == 2


def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: connection.end()
    assert rig.get().status == 502
    assert len(rig.app.seen) == 1


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_what_may_have_an_effect_is_asked_once_and_on_a_fresh_connection(body: bytes) -> None:
    rig = Rig()
    idle(rig)
    rig.app.on_request = lambda connection, seen: connection.end()
    (answer,) = rig.ask(request(b"/", b"Content-Length: %d" % len(body), method=b"POST") + body, methods=[b"POST"])
    assert answer.status == 502
    assert [seen.method for seen in rig.app.seen] == [b"GET", b"POST"]
    assert len(rig.app.connections) == 2


def test_half_a_head_is_not_tried_again() -> None:
    rig = Rig()
    connection = idle(rig)
    rig.app.answers(b"HTTP/1.1 200 OK\r\nContent-", then="end")
    assert rig.get().status == 502
    assert rig.app.connections == [connection]


def test_an_idle_connection_that_closes_is_not_taken() -> None:
    rig = Rig()
    idle(rig).end()
    rig.run()
    assert rig.upstreams.idle == 0
    assert rig.get().body == b"hello"
    assert rig.counters.upstream_reused == 0


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
    rig = Rig()
    rig.app.answers(raw)
    visitor = rig.connect()
    visitor.send(request(b"/", b"Content-Length: 0", method=method))
    rig.run()
    (answer,) = read_answers(visitor.received, [method], False)
    assert answer.status == 502
    assert answer.get(b"cache-control") == b"no-store"
    assert rig.app.connections[0].far.aborted
    assert rig.copies.pending == 0
    assert rig.counters.capturing_bytes == 0
    assert sum(rig.counters.responses.values()) == 1
    rig.app.answers(plain())
    visitor.send(request())
    rig.run()
    assert read_answers(visitor.received, [method, b"GET"], False)[1].body == b"hello"


def test_bad_chunks_later_on_are_seen_by_the_visitor() -> None:
    rig = Rig()
    rig.app.answers(chunked(PAGE, last=False), b"x\r\n")
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    assert visitor.closed
    assert rig.kept == []


@pytest.mark.parametrize(("why", "status"), [("refused", 502), ("timeout", 504), ("unreachable", 502)])
def test_an_application_that_cannot_be_reached(why: str, status: int) -> None:
    rig = Rig()
    rig.app.refuses = why
    visitor = rig.connect()
    visitor.send(request() + request(b"/", b"Content-Length: 3", method=b"POST") + b"abc")
    rig.run()
    answers = read_answers(visitor.received, [b"GET", b"POST"], visitor.eof)
    assert [answer.status for answer in answers] == [status, status]
    assert rig.counters.upstream_errors[why] == 2


def test_an_application_that_does_not_answer() -> None:
    rig = Rig()
    rig.app.on_request = lambda connection, seen: None
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.pass_time(59)
    assert visitor.received == b""
    rig.pass_time(3)
    assert read_answers(visitor.received, [b"GET"], False)[0].status == 504
    assert rig.app.connections[0].far.aborted
    assert rig.counters.timeouts["upstream"] == 1


def test_an_application_that_does_not_take_the_connection() -> None:
    rig = Rig()
    rig.app.silent = True
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.pass_time(7)
    assert read_answers(visitor.received, [b"GET"], False)[0].status == 504


def test_a_slow_answer_that_has_begun_is_waited_for() -> None:
    rig = Rig()
    rig.app.answers(chunked(b"<p>one", last=False))
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    rig.pass_time(300, 10)
    rig.app.connections[0].send(b"3\r\ntwo\r\n0\r\n\r\n")
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], False)
    assert answer.whole
    assert without_tag(answer.body) == b"<p>onetwo"


def test_events_go_out_one_by_one() -> None:
    rig = Rig()
    rig.app.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    visitor = rig.connect()
    visitor.send(request())
    rig.run()
    for number in range(3):
        rig.app.connections[0].send(b"9\r\ndata: %d\n\n\r\n" % number)
        rig.run()
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


@given(st.sampled_from(sorted(PAGES)), st.data())
def test_any_cut_gives_the_visitor_and_the_store_the_same(name: str, data: st.DataObject) -> None:
    raw = PAGES[name]
    post = request(b"/form?x=1", b"Accept-Encoding: gzip", b"Transfer-Encoding: chunked", method=b"POST")
    asked = request(b"/", b"Accept-Encoding: gzip") + post + b"3\r\nabc\r\n0\r\n\r\n"

    def outcome(request_pieces: list[bytes], answer_pieces: list[bytes]) -> object:
        rig = Rig()
        rig.app.answers(*answer_pieces)
        visitor = rig.connect()
        visitor.send(*request_pieces)
        rig.run()
        answers = read_answers(visitor.received, [b"GET", b"POST"], False)
        bodies = [
            gzip.decompress(answer.body) if answer.get(b"content-encoding") else answer.body for answer in answers
        ]
        return bodies, [page for page, _ in rig.kept], [(seen.target, seen.body) for seen in rig.app.seen]

    assert outcome(data.draw(cuts(asked)), data.draw(cuts(raw))) == outcome([asked], [raw])

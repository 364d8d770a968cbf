"""Usual exchanges: usual messages take the short way; all others continue in the machine, with the same bytes."""

from __future__ import annotations

import pytest

from lbcompanion.settings import LimitsTable
from tests.support.in_memory_node import PAGE, TAG_START, InMemoryNode, chunked, html, read_responses, request
from tests.support.usual_node import usual_node, warmed

BROWSER = (b"Accept-Encoding: gzip", b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: navigate")
REQUEST = request(b"/a", *BROWSER)


def test_the_second_request_is_usual() -> None:
    node = usual_node()
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 3, eof=False)
    assert node.counters.usual_responses == 2
    assert [len(answer.body) for answer in answers] == [len(answers[0].body)] * 3
    assert all(answer.body.count(TAG_START) == 1 for answer in answers)
    assert [received.fields for received in node.application.received_requests].count(
        node.application.received_requests[0].fields
    ) == 3
    assert (node.counters.requests, node.counters.captured, node.counters.injected) == (3, 3, 3)
    assert len({page.token for page, _ in node.captured}) == 3


@pytest.mark.parametrize(
    "pieces",
    [
        (html()[:20], html()[20:]),
        (html()[:-10], html()[-10:]),
        (chunked(PAGE[:30], PAGE[30:])[:-2] + b"X-A: b\r\n\r\n",),
        (chunked(PAGE)[:-4], chunked(PAGE)[-4:]),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", html()),
        (html(b"x", status=b"404 Not Found"),),
    ],
)
def test_another_response_continues_in_the_machine(pieces: tuple[bytes, ...]) -> None:
    node, visitor = warmed(REQUEST)
    node.application.answers(*pieces)
    visitor.send(REQUEST)
    node.run()
    answer = read_responses(visitor.received, [b"GET"] * 3, eof=False)[-1]
    assert answer.complete
    assert node.counters.usual_responses == 1
    node.application.answers(html())
    visitor.send(REQUEST)
    node.run()
    assert node.counters.usual_responses == 2
    assert node.upstream_pool.open == node.upstream_pool.idle == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """The application closes a kept connection just as it is used again: the request is sent once more."""
    node, visitor = warmed(REQUEST)
    asked: list[bytes] = []

    def answer_second(connection: object, received: object) -> None:
        asked.append(b"")
        if len(asked) == 1:
            connection.end()  # type: ignore[attr-defined]
        else:
            connection.send(html())  # type: ignore[attr-defined]

    node.application.on_request = answer_second
    visitor.send(REQUEST)
    node.run()
    assert len(asked) == 2
    assert len(read_responses(visitor.received, [b"GET"] * 3, eof=False)) == 3
    assert not node.counters.upstream_errors


def test_an_application_without_an_answer_is_a_502_and_then_a_504() -> None:
    node, visitor = warmed(REQUEST)
    node.application.on_request = lambda connection, received: connection.reset()
    visitor.send(REQUEST)
    node.run()
    assert read_responses(visitor.received, [b"GET"] * 3, eof=False)[-1].status == 502
    node, visitor = warmed(REQUEST, limits=LimitsTable(upstream_seconds=3))
    node.application.on_request = lambda connection, received: None
    visitor.send(REQUEST)
    node.run()
    node.pass_time(2)
    assert len(read_responses(visitor.received, [b"GET"] * 2, eof=False)) == 2
    node.pass_time(3)
    assert read_responses(visitor.received, [b"GET"] * 3, eof=False)[-1].status == 504
    assert node.counters.timeouts == {"upstream": 1}


def test_a_visitor_who_leaves_closes_the_connection_to_the_application() -> None:
    node, visitor = warmed(REQUEST)
    node.application.on_request = lambda connection, received: None
    visitor.send(REQUEST)
    node.run()
    visitor.reset()
    node.run()
    assert node.upstream_pool.open == 0
    assert node.copies.pending == 0
    assert not node.context.connections


def test_pipelined_requests_are_answered_in_order() -> None:
    node, visitor = warmed(REQUEST)
    visitor.send(REQUEST)
    visitor.send(request(b"/b", *BROWSER))
    visitor.send(request(b"/c", *BROWSER) + request(b"/d", *BROWSER))
    node.run()
    assert [received.target for received in node.application.received_requests[2:]] == [b"/a", b"/b", b"/c", b"/d"]
    assert len(read_responses(visitor.received, [b"GET"] * 6, eof=False)) == 6


def test_a_draining_node_closes_behind_the_response() -> None:
    node, visitor = warmed(REQUEST)
    held: list[object] = []
    node.application.on_request = lambda connection, received: held.append(connection)
    visitor.send(REQUEST)
    node.run()
    node.context.draining = True
    held[0].send(html())  # type: ignore[attr-defined]
    node.run()
    answer = read_responses(visitor.received, [b"GET"] * 3, eof=True)[-1]
    assert answer.get(b"connection") == b"close"
    assert visitor.eof
    assert node.counters.usual_responses == 1


def test_the_last_request_of_a_connection_is_not_usual() -> None:
    node = usual_node(limits=LimitsTable(requests_per_connection=3))
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 3, eof=True)
    assert [answer.get(b"connection") for answer in answers] == [None, None, b"close"]
    assert node.counters.connections_worn == 1


def test_a_slow_visitor_pauses_the_application() -> None:
    node, visitor = warmed(REQUEST)
    held: list[object] = []
    node.application.on_request = lambda connection, received: held.append(connection)
    visitor.send(REQUEST)
    node.run()
    (connection,) = node.context.connections
    connection.pause_writing()  # type: ignore[attr-defined]
    connection.resume_writing()  # type: ignore[attr-defined]
    held[0].send(html())  # type: ignore[attr-defined]
    node.run()
    assert len(read_responses(visitor.received, [b"GET"] * 3, eof=False)) == 3


def test_a_connection_that_ends_without_an_answer_gets_no_user_again() -> None:
    """A closed connection with a user would count as one that waits for an answer, for which others are closed."""
    node, first = warmed(REQUEST)
    held: list[object] = []
    node.application.on_request = lambda connection, received: held.append(connection)
    first.send(REQUEST)  # it occupies the only connection
    node.run()
    leaver, last = node.connect(), node.connect()
    leaver.send(REQUEST)
    node.loop._queue.popleft()()  # the companion dials
    leaver.reset()
    node.run()
    assert node.upstream_pool.idle == 1  # a connection that was never used
    ended: list[object] = []

    def end_once(connection: object, received: object) -> None:
        if ended:
            connection.send(html())  # type: ignore[attr-defined]
        else:
            ended.append(connection)
            connection.end()  # type: ignore[attr-defined]

    node.application.on_request = end_once
    last.send(REQUEST)
    node.run()
    held[0].send(html())  # type: ignore[attr-defined]
    node.run()
    for _ in range(8):
        node.clock.advance(0.06)
        last.send(REQUEST)
        node.run()
    assert node.counters.upstream_made_way == 0
    assert node.upstream_pool.open == node.upstream_pool.idle == 2


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "stops reading"])
def test_a_page_that_fills_the_queue_leaves_the_connection_to_the_application_usable(reads: bool) -> None:
    """The transport says that its queue is full while the response is being written."""
    node, visitor = warmed(REQUEST)
    large = PAGE + b" " * 200_000
    node.application.answers(html(large))
    if not reads:
        visitor.stop_reading()
    visitor.send(REQUEST)
    node.run()
    visitor.resume_reading()
    node.run()
    assert node.counters.usual_responses == 2
    for _ in range(2):
        visitor.send(REQUEST)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 5, eof=False)
    assert [len(answer.body) for answer in answers[2:]] == [len(answers[0].body) + 200_000] * 3
    assert node.counters.usual_responses == 4
    assert node.upstream_pool.open == node.upstream_pool.idle == 1


def test_without_the_compiled_part_the_machine_does_all() -> None:
    node = InMemoryNode()
    node.context.new_usual_exchange = None
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    assert len(read_responses(visitor.received, [b"GET"] * 3, eof=False)) == 3
    assert node.counters.usual_responses == 0

"""Requests that end here: loops, and Max-Forwards that is used up."""

from __future__ import annotations

import pytest

from lbcompanion.testing.memory_transport import RemoteEnd
from tests.support.in_memory_node import ApplicationConnection, InMemoryNode, ReceivedRequest, html, request

_LIMIT = 200


def chained(first: InMemoryNode, second: InMemoryNode) -> None:
    """Make ``second`` the application of ``first``."""
    sides: dict[ApplicationConnection, RemoteEnd] = {}

    def on_request(connection: ApplicationConnection, seen: ReceivedRequest) -> None:
        assert len(first.application.received_requests) < _LIMIT, "a loop"
        fields = [name + b": " + value for name, value in seen.fields if name != b"host"]
        if connection not in sides:
            sides[connection] = second.connect(("127.0.0.1", 1))
        visitor = sides[connection]
        before = len(visitor.received)
        visitor.send(request(seen.target, *fields, method=seen.method) + seen.body)

        def pass_back() -> None:
            second.run()
            if len(visitor.received) > before:
                connection.send(visitor.received[before:])
                first.run()

        first.loop.call_soon(pass_back)

    first.application.on_request = on_request


@pytest.mark.slow
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS"])
def test_a_node_whose_application_is_its_own_listener_answers_508(method: bytes) -> None:
    companion = InMemoryNode()
    chained(companion, companion)
    answer = companion.get(b"/shop", method=method)
    assert (answer.status, answer.get(b"cache-control")) == (508, b"no-store")
    assert len(companion.application.received_requests) == 1
    assert companion.counters.upstream_errors == {"loop": 1}
    assert any(line.startswith("a loop: ") for line in companion.logged)


def test_a_loop_over_several_nodes_ends_too() -> None:
    nodes = [InMemoryNode(name=name) for name in ("n1", "n2", "n3")]
    for number, node in enumerate(nodes):
        chained(node, nodes[(number + 1) % 3])
    assert nodes[0].get().status == 508
    assert [len(node.application.received_requests) for node in nodes] == [1, 1, 1]


def test_a_request_with_a_body_that_came_back_is_refused() -> None:
    companion = InMemoryNode()
    line = companion.context.forwarded_by_line.strip()
    (answer,) = companion.ask(request(b"/", line, b"Content-Length: 4", method=b"POST") + b"body", methods=[b"POST"])
    assert answer.status == 508
    assert companion.application.received_requests == []


def test_companions_in_a_row_are_no_loop() -> None:
    outer, inner = InMemoryNode(name="n1"), InMemoryNode(name="n2")
    chained(outer, inner)
    inner.application.answers(html())
    assert outer.get().status == 200
    (seen,) = inner.application.received_requests
    (members,) = seen.all(b"lbc-forwarded-by")
    assert [member.partition(b"-")[0] for member in members.split(b", ")] == [b"n1", b"n2"]


def test_nodes_of_one_name_but_other_settings_are_no_loop() -> None:
    outer = InMemoryNode(name="n1", node={"prefix": "/_lbc", "state_dir": "elsewhere"})
    inner = InMemoryNode(name="n1")
    chained(outer, inner)
    assert outer.get().status == 200


def test_too_many_companions_are_a_loop() -> None:
    companion = InMemoryNode()
    assert companion.get(b"/", b"Lbc-Forwarded-By: " + b", ".join([b"x"] * 15)).status == 200
    assert companion.get(b"/", *[b"Lbc-Forwarded-By: x"] * 16).status == 508


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize(
    ("value", "forwarded"),
    [(b"1", b"0"), (b"10", b"9"), (b"007", b"6"), (b"-1", b"-1"), (b"x", b"x"), (b"1, 2", b"1, 2")],
)
def test_max_forwards_is_counted_down(method: bytes, value: bytes, forwarded: bytes) -> None:
    companion = InMemoryNode()
    companion.get(b"/", b"Max-Forwards: " + value, method=method)
    assert companion.application.received_requests[0].all(b"max-forwards") == [forwarded]


@pytest.mark.parametrize(("method", "status"), [(b"OPTIONS", 200), (b"TRACE", 405)])
def test_at_zero_the_node_answers(method: bytes, status: int) -> None:
    companion = InMemoryNode()
    answer = companion.get(b"/", b"Max-Forwards: 0", b"Cookie: a=secret", method=method)
    assert answer.status == status
    assert b"secret" not in answer.body
    assert companion.application.received_requests == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_other_methods_have_no_max_forwards(method: bytes) -> None:
    companion = InMemoryNode()
    companion.get(b"/", b"Max-Forwards: 0", method=method)
    assert companion.application.received_requests[0].all(b"max-forwards") == [b"0"]


def test_no_via_is_sent_and_that_of_others_stays() -> None:
    companion = InMemoryNode()
    companion.get()
    companion.get(b"/", b"Via: 1.1 edge")
    assert [seen.all(b"via") for seen in companion.application.received_requests] == [[], [b"1.1 edge"]]

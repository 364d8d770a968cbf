"""Requests that the companion answers itself."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from lbcompanion.node.proxy.context import InternalRequest, InternalResponse
from lbcompanion.node.proxy.internal import MAX_INTERNAL_BODY_BYTES
from tests.support.in_memory_node import InMemoryNode, request
from tests.support.own_answers import guarded


class Endpoint:
    """Answers 204, and keeps what it got."""

    def __init__(self) -> None:
        self.requests: list[InternalRequest] = []

    def answer(self, request: InternalRequest) -> Deferred[InternalResponse]:
        self.requests.append(request)
        return succeed(InternalResponse(204, []))

    def max_body_bytes(self, request: InternalRequest) -> int:
        return 100_000


@pytest.mark.parametrize("piece", [1000, 100_000])
@pytest.mark.parametrize(
    ("method", "size", "most"),
    [
        (b"POST", 0, MAX_INTERNAL_BODY_BYTES),
        (b"POST", MAX_INTERNAL_BODY_BYTES, MAX_INTERNAL_BODY_BYTES),
        (b"POST", MAX_INTERNAL_BODY_BYTES + 1, MAX_INTERNAL_BODY_BYTES),
        (b"POST", 60_000, MAX_INTERNAL_BODY_BYTES),
        (b"PUT", 100_000, 100_000),
        (b"PUT", 100_001, 100_000),
    ],
)
def test_a_long_body_is_cut(method: bytes, size: int, most: int, piece: int) -> None:
    companion = InMemoryNode()
    endpoint = companion.context.internal_handler = Endpoint()
    body = bytes(range(1, 256)) * (size // 255 + 1)
    visitor = companion.connect()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % size, method=method))
    for at in range(0, size, piece):
        visitor.send(body[at : min(at + piece, size)])
    companion.run()
    (got,) = endpoint.requests
    assert (got.body, got.truncated) == (body[: min(size, most)], size > most)


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        (b"/_lbc/page/x", [b"POST", b"PATCH", b"OPTIONS"], b"GET, HEAD, DELETE, PUT"),
        (b"/_lbc/page/x/done", [b"GET", b"DELETE", b"PUT"], b"POST"),
        (b"/_lbc/whoami", [b"POST", b"DELETE"], b"GET, HEAD"),
        (b"/_lbc/fetch-from.js", [b"POST"], b"GET, HEAD"),
        (b"/_lbc/notice", [b"GET", b"PUT", b"HEAD"], b"POST"),
        (b"/_lbc/debug", [b"POST"], b"GET"),
    ],
)
def test_other_methods_get_405(path: bytes, methods: list[bytes], allowed: bytes) -> None:
    for method in methods:
        answer = InMemoryNode().get(path, method=method)
        assert (answer.status, answer.get(b"allow")) == (405, allowed)
        assert guarded(answer)


def test_an_endpoint_that_fails_says_so_and_no_more() -> None:
    companion = InMemoryNode()

    class Broken:
        def answer(self, request: object) -> Any:
            raise ZeroDivisionError("a secret")

    companion.context.internal_handler = Broken()
    answer = companion.get(b"/_lbc/whoami")
    assert (answer.status, answer.body) == (500, b"internal error\n")
    assert not any("a secret" in line for line in companion.logged)

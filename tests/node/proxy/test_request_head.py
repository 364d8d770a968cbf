"""The head that the application gets: request line, the plan's fields, hops, framing and upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from lbcompanion.http1.framing import request_framing
from lbcompanion.http1.heads import read_request_head
from lbcompanion.node.proxy.context import ResponsePlan
from lbcompanion.node.proxy.request_head import counts_hops, request_head, requested_upgrade


class _Plan:
    def request_lines(self) -> bytes:
        return b"A: b\r\n"

    def plan_response(self, head: object) -> ResponsePlan:
        raise NotImplementedError


class _Context:
    node_id = b"n1"
    forwarded_by_line = b"Lbc-Forwarded-By: n1\r\n"


def written(text: bytes) -> bytes:
    head = read_request_head(text)
    context: Any = _Context()
    return request_head(head, request_framing(head), _Plan(), context, requested_upgrade(head))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /a HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\n\r\n"),
        # Without Host it stays HTTP/1.0.
        (b"GET /a HTTP/1.0\r\n\r\n", b"GET /a HTTP/1.0\r\nA: b\r\nLbc-Forwarded-By: n1\r\n\r\n"),
        (b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n", b"GET /a HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\n\r\n"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\n\r\n",
            b"POST / HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\nContent-Length: 7\r\n\r\n",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        # Upgrade that is not a connection option is no request for one.
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\nLbc-Forwarded-By: n1\r\n\r\n",
        ),
    ],
)
def test_the_head_for_the_application(text: bytes, expected: bytes) -> None:
    assert written(text) == expected


def test_hops_are_counted_where_a_limit_or_a_companion_is_named() -> None:
    plain = read_request_head(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    passed = read_request_head(b"GET / HTTP/1.1\r\nHost: h\r\nLbc-Forwarded-By: n2\r\n\r\n")
    traced = read_request_head(b"TRACE / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\n\r\n")
    assert [counts_hops(head) for head in (plain, passed, traced)] == [False, True, True]

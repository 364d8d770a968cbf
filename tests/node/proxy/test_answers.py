"""Our own answers, as they are made and written."""

from __future__ import annotations

import json

import pytest

from lbcompanion.http1.heads import RequestHead, read_response_head
from lbcompanion.node.proxy.answers import (
    GUARDS,
    gateway_error,
    guarded_text,
    no_content,
    not_allowed,
    phrase,
    problem,
    write_refusal,
    write_response,
)
from lbcompanion.node.proxy.context import InternalResponse

DATE = b"Date: Thu, 26 Nov 2026 12:00:00 GMT\r\n"


def asked(method: bytes = b"GET", version: int = 11) -> RequestHead:
    return RequestHead.from_fields(method, b"/", version, [(b"host", b"a.example")])


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, b"OK"), (413, b"Content Too Large"), (431, b"Request Header Fields Too Large"), (799, b"")],
)
def test_phrases_are_those_of_the_rfc(status: int, text: bytes) -> None:
    assert phrase(status) == text


def test_members_stand_in_their_order_and_empty_ones_are_left_out() -> None:
    answer = problem(404, title="no copy here", reason="unknown", detail="", owner="n2")
    assert list(json.loads(answer.body).items()) == [
        ("type", "about:blank"),
        ("title", "no copy here"),
        ("status", 404),
        ("reason", "unknown"),
        ("owner", "n2"),
    ]
    assert answer.fields == [(b"Content-Type", b"application/problem+json"), *GUARDS]


def test_405_lists_what_is_allowed() -> None:
    answer = not_allowed("GET, HEAD")
    assert (answer.status, (b"Allow", b"GET, HEAD") in answer.fields) == (405, True)


@pytest.mark.parametrize("answer", [problem(403), not_allowed("GET"), no_content(), guarded_text(400, "no JSON")])
def test_answers_about_copies_are_guarded(answer: InternalResponse) -> None:
    assert set(GUARDS) <= set(answer.fields)


@pytest.mark.parametrize(("status", "again"), [(502, False), (503, True), (504, False)])
def test_only_a_busy_application_is_asked_again(status: int, again: bool) -> None:
    assert (b"retry-after" in [name.lower() for name, _ in gateway_error(status).fields]) is again


@pytest.mark.parametrize(
    ("method", "version", "keep_alive", "connection", "body"),
    [
        (b"GET", 11, True, None, b"text\n"),
        (b"GET", 11, False, b"close", b"text\n"),
        (b"GET", 10, True, b"keep-alive", b"text\n"),
        (b"HEAD", 11, True, None, b""),
    ],
)
def test_an_answer_is_framed_for_its_request(
    method: bytes, version: int, keep_alive: bool, connection: bytes | None, body: bytes
) -> None:
    written = write_response(guarded_text(400, "text"), asked(method, version), keep_alive=keep_alive, date_line=DATE)
    raw, _, rest = written.partition(b"\r\n\r\n")
    head = read_response_head(raw + b"\r\n\r\n")
    assert (head.status, head.get(b"content-length"), head.get(b"connection"), rest) == (400, b"5", connection, body)
    assert head.get(b"date") is not None


def test_the_length_of_a_body_that_is_not_here_is_as_stated() -> None:
    written = write_response(InternalResponse(200, [], length=7), asked(b"HEAD"), keep_alive=True, date_line=DATE)
    assert written == b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 7\r\n\r\n"


@pytest.mark.parametrize(("status", "length"), [(204, False), (304, True)])
def test_answers_without_a_body(status: int, length: bool) -> None:
    written = write_response(InternalResponse(status, [], b"never sent"), asked(), keep_alive=True, date_line=DATE)
    assert written.endswith(b"\r\n\r\n")
    assert (b"Content-Length: 10" in written) is length


def test_a_refusal_closes() -> None:
    assert write_refusal(400, "why", DATE) == (
        b"HTTP/1.1 400 Bad Request\r\n" + DATE + b"Content-Type: text/plain\r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\nwhy\n"
    )

"""Raw probes against a running companion: what the application gets is what the companion answered for, nothing more.

The application reads with h11 and without leniency; the visitor reads with h11 too. Behind each probe another visitor's
request must get its own answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.companion import Companion, companion
from tests.support.raw_visitor import Answer, RawVisitor
from tests.support.recording_application import RecordingApplication
from tests.support.smuggling_probes import FORBIDDEN_TRAILERS, Probe, ProbeAnswer, answers, probes

_ANSWERS = {answer_sent.name: answer_sent for answer_sent in answers()}
_PROBES = {probe.name: probe for probe in probes()}
_INNOCENT = b"GET /innocent HTTP/1.1\r\nHost: a\r\n\r\n"
#: What the companion does not do right yet: the probe's name, and why.
_BROKEN: dict[str, str] = {}


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "python"], name="front")
def _front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    """One that reads heads with what was compiled, and one that does without."""
    with companion(tmp_path_factory.mktemp("smuggling"), compiled=request.param) as one:
        yield one
        assert not one.left_open()
        assert not one.failures()


@pytest.fixture(scope="module", name="application")
def _application(front: Companion) -> Iterator[RecordingApplication]:
    one = RecordingApplication(front.application_port)
    yield one
    one.close()


def _names() -> list[object]:
    return [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=_BROKEN[name])) if name in _BROKEN else name
        for name in _PROBES
    ]


@pytest.mark.parametrize("name", _names())
def test_probe(name: str, front: Companion, application: RecordingApplication, request: pytest.FixtureRequest) -> None:
    probe = _PROBES[name]
    # Heads are read whole, however they come: one reader gets them in pieces.
    pieces = 3 if "python" in request.node.callspec.id else 0
    application.forget()
    visitor = RawVisitor(front.port)
    try:
        visitor.send(probe.data + (_INNOCENT if probe.takes else b""), pieces)
        takes = _answered(probe, visitor)
    finally:
        visitor.close()
    _nobody_is_harmed(front)
    expected = [*takes, (b"GET", b"/innocent", b"")]
    application.wait_for(len(expected))
    assert [(one.method, one.target, one.body) for one in application.seen] == expected
    assert not application.complaints
    if not probe.begins:
        assert application.begun == len(expected)


def _answered(probe: Probe, visitor: RawVisitor) -> list[tuple[bytes, bytes, bytes]]:
    """What the visitor was answered for, by the application's answers."""
    takes = [*probe.takes, (b"GET", b"/innocent", b"")] if probe.takes else []
    first = visitor.answer(takes[0][0] if takes else b"GET")
    assert first is not None, "closed without a word"
    if first.get(b"x-target") is None or not takes:
        _is_refusal(probe, first)
        assert visitor.end() == b""
        return []
    answer: Answer | None = first
    for at, (method, target, _) in enumerate(takes):
        answer = visitor.answer(method) if at else answer
        assert answer is not None
        assert answer.status == 200
        assert answer.get(b"x-target") == target
        assert answer.get(b"x-method") == method
    return takes


def _is_refusal(probe: Probe, answer: Answer) -> None:
    assert answer.get(b"x-target") is None, answer
    assert answer.status in probe.status, answer
    assert answer.get(b"connection") == b"close"


def _nobody_is_harmed(front: Companion) -> None:
    other = RawVisitor(front.port)
    try:
        other.send(_INNOCENT)
        answer = other.answer()
        assert answer is not None
        assert answer.get(b"x-target") == b"/innocent"
    finally:
        other.close()


@pytest.mark.parametrize("name", list(_ANSWERS))
def test_answer(name: str, front: Companion, application: RecordingApplication) -> None:
    """A broken answer becomes 502 or a cut, and nobody's next answer is what stood behind it."""
    answer_sent = _ANSWERS[name]
    application.forget()
    application.scripts[b"/said"] = answer_sent.data
    visitor = RawVisitor(front.port)
    try:
        visitor.send(answer_sent.method + b" /said HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = visitor.answer(answer_sent.method)
        assert answer is not None
        _is_as_said(answer_sent, answer)
        if answer.whole:
            visitor.send(_INNOCENT)
            behind = visitor.answer()
            assert behind is not None
            assert behind.get(b"x-target") == b"/innocent"
        else:
            assert visitor.end() == b""
        assert b"evil" not in visitor.raw
    finally:
        visitor.close()
    _nobody_is_harmed(front)
    # A GET that nothing answered may be asked twice, where its connection was an old one.
    told = [one.target for one in application.seen]
    assert told in ([b"/said", *rest] for rest in ([b"/innocent"], [b"/innocent"] * 2, [b"/said", *[b"/innocent"] * 2]))
    assert not application.complaints


def _is_as_said(answer_sent: ProbeAnswer, answer: Answer) -> None:
    if answer_sent.body is None or (not answer_sent.whole and answer.status == 502):
        # What is broken may be seen before the first byte went out, or behind it.
        assert answer.status == 502
        return
    assert answer.status != 502
    assert answer.body == answer_sent.body
    assert answer.whole == answer_sent.whole


@pytest.mark.parametrize("trailer", FORBIDDEN_TRAILERS, ids=lambda trailer: trailer.split(b":")[0].decode())
def test_trailers_that_would_change_the_message(
    trailer: bytes, front: Companion, application: RecordingApplication
) -> None:
    """They are not passed on (RFC 9110 section 6.5.1); whether the request is refused is the companion's choice."""
    application.forget()
    visitor = RawVisitor(front.port)
    try:
        head = b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        visitor.send(head + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n" + trailer + b"\r\n\r\n")
        answer = visitor.answer()
        assert answer is not None
        assert answer.status in (200, 400)
    finally:
        visitor.close()
    name = trailer.split(b":")[0].lower()
    assert all(name not in dict(one.trailers) for one in application.seen)
    assert not application.complaints


def test_heads_keep_order_spelling_and_number(front: Companion, application: RecordingApplication) -> None:
    """Byte for byte, less what ends here and with what is added."""
    application.forget()
    cookies = b"Set-Cookie: a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT\r\nset-cookie: b=2\r\nSET-COOKIE: a=1\r\n"
    page = b"<!doctype html><title>x</title>"
    answer_sent = b"X-b: 2\r\nx-A:  1 , 3\r\n" + cookies + b"X-B: \xc3\xa4\r\nX-Empty:\r\n"
    for content_type, body in ((b"text/plain", b"hello"), (b"text/html", page)):
        length = b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n" % (content_type, len(body))
        application.scripts[b"/a%2fb/../c?x=%zz&y"] = b"HTTP/1.1 200 Yes, Well\r\n" + answer_sent + length + body
        visitor = RawVisitor(front.port)
        try:
            visitor.send(
                b"GET /a%2fb/../c?x=%zz&y HTTP/1.1\r\nhOST: Shop.Example\r\nX-Zeta: 1\r\nx-alpha:  two  words \r\n"
                b"X-ZETA: 3\r\ncookie: a=1; b=2\r\nX-Utf: \xc3\xa4\r\nX-Empty:\r\nCookie: c=3\r\n\r\n"
            )
            answer = visitor.answer()
        finally:
            visitor.close()
        assert answer is not None
        head = re.sub(rb"Date: [^\r]*\r\n", b"", visitor.raw.partition(b"\r\n\r\n")[0] + b"\r\n")
        expected = b"HTTP/1.1 200 Yes, Well\r\nX-b: 2\r\nx-A: 1 , 3\r\n" + cookies + b"X-B: \xc3\xa4\r\nX-Empty: \r\n"
        assert head.startswith(expected)
    for one in application.seen:
        assert one.raw_head.startswith(
            b"GET /a%2fb/../c?x=%zz&y HTTP/1.1\r\nhOST: Shop.Example\r\nX-Zeta: 1\r\nx-alpha: two  words\r\n"
            b"X-ZETA: 3\r\ncookie: a=1; b=2\r\nX-Utf: \xc3\xa4\r\nX-Empty: \r\nCookie: c=3\r\n"
        )
    assert len(application.seen) == 2


@pytest.mark.parametrize("name", ["CL.TE plain", "lengths 5 and 5", "field: LF in the value", "host: two", "size: 0x"])
def test_a_proxy_that_passes_everything_would_be_found_out(name: str) -> None:
    """The judge judged: without a companion between them visitor and application do not pass."""
    with ExitStack() as stack:
        ports = ReservedPorts()
        stack.callback(ports.release)
        application = RecordingApplication(ports.take())
        stack.callback(application.close)
        visitor = RawVisitor(application.port)
        stack.callback(visitor.close)
        visitor.send(_PROBES[name].data)
        with pytest.raises(AssertionError):
            _answered(_PROBES[name], visitor)

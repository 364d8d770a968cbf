"""The companion's whole machine in memory: what visitors send, what applications answer, read by us and by h11.

An input is a few bytes that choose the side it comes from and where it is cut, and the bytes of that side. Broken is:
whatever raises, what h11 cannot read of what we send on to either side among it; another outcome at another cut; a
request that reaches the application and is not one by h11's reading of what the visitor sent, or another one; an answer
that reaches the visitor whole and is none by h11's reading of what the application sent, or another one.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from itertools import pairwise
from random import Random

from attrs import frozen

from fuzz import h11_reading
from fuzz.target import Target
from fuzz.targets import bodies, heads
from tests.support.http1_samples import ACCEPTED, BAD_ANSWERS, BROKEN, REFUSED
from tests.support.in_memory_node import InMemoryNode, ReceivedRequest, chunked, html, request, without_tag

CHOICES = 6
METHODS = (b"GET", b"HEAD", b"POST", b"GET")
TOKENS: tuple[bytes, ...] = (
    *heads.TOKENS,
    *bodies.TOKENS,
    *(b"\r\nContent-Type: text/html", b"\r\nContent-Encoding: gzip", b"<html><head></head>", b"GET / HTTP/1.1\r\n"),
    *(request(), request(b"/x", b"Content-Length: 3", method=b"POST") + b"abc", b"HTTP/1.1 200 OK\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n", html(), chunked(b"<html>", b"</html>")),
)

#: What h11 refuses to read of what the RFC allows (:mod:`fuzz.targets.bodies`), and trailers about framing, which h11
#: reads as header fields and which are passed on: inputs with them are not judged.
NOT_JUDGED = bodies.LOOSER

#: What is known to differ: the framing that an interim answer states is not looked at, since it is not passed on.
KNOWN = re.compile(rb"(?im)HTTP/1\.[01] 1[0-9]{2}[^\n]*\n([^\r\n]+\r\n)*?(transfer-encoding|content-length):")


@frozen
class Direction:
    """One way to bring an input."""

    side: int
    method: bytes
    eof: bool
    page: bool


def _pieces(data: bytes, places: bytes) -> list[bytes]:
    edges = sorted({0, *(place * len(data) // 256 for place in places), len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def check(data: bytes) -> Hashable:
    """See :class:`fuzz.target.Target`."""
    choices, raw = data[:CHOICES], data[CHOICES:]
    direction = Direction(choices[0] & 1, METHODS[choices[1] & 3], bool(choices[1] & 4), bool(choices[1] & 8))
    if not raw or NOT_JUDGED.search(raw) or KNOWN.search(raw):
        return "not judged"
    return (
        _check_requests(raw, choices[2:], direction) if direction.side else _check_response(raw, choices[2:], direction)
    )


# What a visitor sends.


def _send_requests(pieces: Sequence[bytes], direction: Direction) -> tuple[list[ReceivedRequest], bytes, bool]:
    companion = InMemoryNode()
    if not direction.page:
        companion.application.answers(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\nok")
    visitor = companion.connect()
    visitor.send(*pieces)
    if direction.eof:
        visitor.send_eof()
    companion.run()
    assert not companion.counters.failed_open, companion.counters.failed_open
    return companion.application.received_requests, visitor.received, visitor.eof or visitor.closed


def _statuses(received: bytes, methods: Sequence[bytes]) -> list[int]:
    """The answers that a visitor got; h11 must be able to read all bytes."""
    statuses = []
    for method in [*methods, b"GET"]:
        if not received:
            break
        read = h11_reading.response(received, method, eof=False, upgrade=True)
        assert read.messages, (read, received)
        statuses.append(read.messages[0].start[0])
        received = read.rest
    assert not received, received
    return statuses


def _check_requests(raw: bytes, places: bytes, direction: Direction) -> Hashable:
    requests, received, closed = _send_requests([raw], direction)
    again, received_again, closed_again = _send_requests(_pieces(raw, places), direction)
    assert again == requests, "another cut, other requests"
    read = h11_reading.requests(raw)
    # h11 takes no bytes above ASCII in a target.
    if b"/_lbc" not in raw and b"/robots.txt" not in raw and not re.search(rb"[\x80-\xff][^ \r\n]* HTTP/", raw):
        assert len(requests) <= len(read.messages), (requests, read)
        for ours, theirs in zip(requests, read.messages, strict=False):
            assert ours.method == theirs.start[0]
            assert ours.target == heads.origin_form(theirs.start[1], ours.method)
            assert ours.body == theirs.body
            assert _own(ours.fields) == _own(theirs.fields)
        methods = [ours.method for ours in requests]
        statuses = _statuses(received, methods)
        assert statuses == _statuses(received_again, methods)
        assert closed == closed_again
        if len(requests) < len(read.messages):
            # What we do not send on we refuse, and nothing behind it is read; or we wait for the end of a
            # head, where h11 takes a bare LF for it.
            assert closed or re.search(rb"(?<!\r)\n", raw)
            assert statuses[len(requests) :] in ([], [400], [431], [501], [505]), statuses
            refused = read.messages[len(requests)].raw
            head, blank, body = refused.partition(b"\n\r\n")
            assert heads.reason(head + blank, heads.STRICTER_REQUESTS) or bodies.reason(body), refused
        kinds = [(one.method, min(9, len(one.fields)), min(3, len(one.body))) for one in requests[:3]]
        return "asked", tuple(kinds), tuple(statuses[-1:]), read.refused[:12], closed
    return "asked us", len(requests), closed


_CHANGED = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade content-length trailer date lbc-forwarded-by"
    b" x-forwarded-for x-forwarded-proto x-forwarded-host accept-encoding lbc-capture proxy-authenticate expect"
    b" proxy-authorization host if-none-match if-match if-range range".split()
)


def _own(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields that nobody changes."""
    named = {option.strip().lower() for name, value in fields if name == b"connection" for option in value.split(b",")}
    return [field for field in fields if field[0] not in _CHANGED and field[0] not in named]


# What an application answers.


def _send_response(pieces: Sequence[bytes], direction: Direction) -> tuple[bytes, bool]:
    companion = InMemoryNode()
    companion.application.answers(*pieces, then="end" if direction.eof else "")
    visitor = companion.connect()
    body = b"Content-Length: 0" if direction.method == b"POST" else b"X: y"
    visitor.send(request(b"/", body, method=direction.method))
    companion.run()
    assert not companion.counters.failed_open, companion.counters.failed_open
    assert len(companion.application.received_requests) in (1, 2)
    return visitor.received, visitor.eof or visitor.closed


def _outcome(received: bytes, closed: bool, direction: Direction, raw: bytes) -> tuple[object, ...]:
    """How a visitor reads it: a whole answer, one that is visibly broken off or refused, or no answer yet."""
    if not received:
        return ("none", closed)
    read = h11_reading.response(received, direction.method, eof=closed)
    if not read.messages:
        assert read.head is not None or read.interim or closed or not read.refused, read
        return ("more", b"") if not closed else ("bad",)
    assert not read.rest, read
    (message,) = read.messages
    if message.start == (502,) and b" 502" not in raw:
        return ("bad",)
    return "whole", message.start, without_tag(message.body), _own(message.fields), message.trailers


def _check_response(raw: bytes, places: bytes, direction: Direction) -> Hashable:
    ours = _outcome(*_send_response([raw], direction), direction, raw)
    again = _outcome(*_send_response(_pieces(raw, places), direction), direction, raw)
    if ours[0] == "whole":
        assert again[:4] == ours[:4], "another cut, another answer"
    if re.search(rb"[!-~][ \t]+:", raw):
        return "white space before a colon, which h11 refuses", ours[0]
    read = h11_reading.response(raw, direction.method, direction.eof)
    if ours[0] == "whole":
        assert read.messages, read
        theirs = read.messages[0]
        assert ours[1] == theirs.start
        if b"content-encoding" not in {name for name, _ in theirs.fields}:
            assert ours[2] == without_tag(theirs.body)
        return "answered", theirs.start, len(read.interim), len(theirs.fields) % 8, direction.method, direction.eof
    assert again[0] == ours[0], (again, ours)
    return ours[0], read.refused[:12], bool(read.messages), direction.method, direction.eof


def _seeds(random: Random) -> Sequence[bytes]:
    post = request(b"/a", b"Transfer-Encoding: chunked", method=b"POST")
    request_seeds = [
        *ACCEPTED.values(),
        *(raw + b"3\r\nabc\r\n0\r\n\r\n" + request() for _, raw in REFUSED.values()),
        *(post + body + request() for body in BROKEN.values() if len(body) < 100),
        request() + post + b"3;a=b\r\nabc\r\n0\r\nX-A: b\r\n\r\n" + request(b"/b", b"Content-Length: 3") + b"xyz",
        request(b"/a", b"Content-Length: 3", method=b"POST") + b"xyz" + request(b"/b") + request(b"/c"),
        request(b"/", b"Connection: close") + request(),
        request(version=b"1.0") + request(),
    ]
    answers = [
        *BAD_ANSWERS.values(),
        html(),
        chunked(b"<html><head>", b"</head><body>x</body>"),
        chunked(b"<html>", last=False),
        html(length=False),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + html(),
        b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the close",
        html() + html(),
    ]
    return [
        bytes((side, random.randrange(16))) + random.randbytes(CHOICES - 2) + raw
        for side, all_of in ((1, request_seeds), (0, answers))
        for raw in all_of
    ]


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=CHOICES, max_bytes=8192)

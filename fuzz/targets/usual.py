"""The usual path beside the machine: the same bytes in the same cuts into a node with it and a node without it.

An input chooses the settings, the cuts and what happens between messages; the rest is a visitor's request, or an
application's response. Before and after it the nodes handle usual messages, so that kinds of messages are known, and a
kind that was learnt from the input is used again. Everything that the nodes write, count, store and record has to be
the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache, partial
from itertools import pairwise
from random import Random
from typing import Any

import attrs

from fuzz.target import Target
from fuzz.targets import bodies, heads
from lbcompanion.http1.codings import encode_whole
from lbcompanion.http1.usual_heads import compiled_usual
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable
from tests.support.in_memory_node import (
    PAGE,
    ApplicationConnection,
    InMemoryNode,
    ReceivedRequest,
    chunked,
    html,
    request,
)

CHOICES = 12
#: The last choices insert one of the fields below each, or nothing.
_INSERTED = 4
#: The cookies of the message in the middle; those of the others are the first.
COOKIES = (
    b"Cookie: SRV=n1; a=b",
    b"Cookie: SRV=n1; a=c; lbc-visitor=1",
    b"Cookie: lbc-visitor=0; a=b",
    b"X-No: cookie",
)
BROWSER = (
    b"Accept-Encoding: gzip, deflate",
    b"Sec-Fetch-Dest: document",
    b"Sec-Fetch-Mode: navigate",
    b"Upgrade-Insecure-Requests: 1",
    COOKIES[0],
)
USUAL_REQUEST = request(b"/a/b?c=d", *BROWSER)
USUAL_RESPONSE = html(PAGE, b"Date: Mon, 03 Mar 2025 10:00:00 GMT")
_FIELDS: tuple[bytes, ...] = (
    *(b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close"),
    *(b"Connection: keep-alive", b"Connection: Keep-Alive", b"Connection: x-a, keep-alive", b"Upgrade: websocket"),
    *(b"Expect: 100-continue", b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For:", b"X-Forwarded-Host: other.example"),
    *(b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 8443", b"Forwarded: for=192.0.2.1", b"X_Forwarded_For: 1"),
    *(b"TE: trailers", b"Keep-Alive: 5", b"X-A: b", b'ETag: "a"', b'ETag: W/"b"', b"Content-Encoding: gzip"),
    *(b"Content-Encoding: identity", b"Content-Encoding: br", b"Content-Disposition: attachment"),
    *(b"Content-Security-Policy: default-src 'self'", b"Content-Security-Policy: script-src 'none'"),
    *(b"Content-Security-Policy: script-src 'nonce-abc'", b"content-security-policy: script-src 'Nonce-abc' 'self'"),
    *(b"Content-Security-Policy: script-src http://www.example.com/_lbc/", b"Content-Security-Policy:"),
    *(b"Content-Security-Policy: sandbox", b"Content-Security-Policy: frame-ancestors 'self'; report-uri /x"),
    *(b"Content-Security-Policy: " + b"script-src 'self'; " * 100, b"Content-Security-Policy: default-src 'self', *"),
    *(b"Cache-Control: no-transform", b"Cache-Control: no-store"),
    *(b"Sec-Purpose: prefetch", b"Purpose: prefetch", b"HX-Request: true", b"X-Requested-With: XMLHttpRequest"),
    *(b'If-None-Match: "a-lbcs"', b"Lbc-Capture: 1", b"Cookie: lbc-visitor=0", b"Cookie: lbc-visitor=1", b"DNT: 1"),
    *(b"Host: other.example", b"Host: other.example:8080", b"Host:", b"Accept-Encoding: br", b"Accept-Encoding:"),
    *(b"Accept-Encoding: identity", b"Sec-Fetch-Dest: image", b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Mode: cors"),
    *(b"Content-Type: text/plain", b"Content-Type: application/xhtml+xml", b"Content-Type: text/html"),
    *(b"Content-Type: text/html; charset=iso-8859-1", b"Content-MD5: x", b"Accept-Ranges: bytes", b"Trailer: x"),
    *(b"Proxy-Connection: keep-alive", b"Range: bytes=0-5", b"Authorization: Negotiate x", b"Lbc-Forwarded-By: n2"),
    *(b"WWW-Authenticate: NTLM", b"Last-Modified: Mon, 03 Mar 2025 10:00:00 GMT", b"Date: now", b"Vary: *"),
    *(b"Set-Cookie: SRV=n1", b"X-Empty:", b"X-Space:  a", b"X-Tab:\ta", b"X-High: \xe9", b"Consent: yes"),
)
TOKENS: tuple[bytes, ...] = (
    *(b"\r\n" + field for field in _FIELDS),
    *(
        b"/_lbc/page/x",
        b"/robots.txt",
        b"/private/x",
        b"/no-store/x",
        b"?lbc-force=1&",
        b"http://www.example.com",
        b"#x",
    ),
    *(b"HEAD ", b"POST ", b" HTTP/1.0", b"304 Not Modified", b"404 Not Found", b"200 Fine", b"103 Early", b"200 "),
    *(
        b"<head>",
        b"</head>",
        b"<!--",
        b"-->",
        b"<script>",
        b"</script>",
        b"data-lbc-token",
        b"<base href=/>",
        b"<title>",
    ),
    *(b"<meta http-equiv=content-security-policy content=\"default-src 'none'\">", b"<meta charset=utf-16>"),
    *(b"<input type=password value=x>", b"<!-- lbc:exclude -->x<!-- /lbc:exclude -->", b"\xef\xbb\xbf", b"\xff\xfe"),
    *heads.TOKENS[:20],
    *bodies.TOKENS[:10],
)


_TARGETS = (
    b"/wiki/File:Photo.jpg",
    b"/private/x",
    b"/b?lbc-force=1",
    b"/no-store/x",
    b"/_lbc/debug",
    b"/robots.txt",
    b"//x",
    b"/a/%2e%2e/private/x",
)
_CHUNKED = (
    *(chunked(PAGE), chunked(PAGE[:9], PAGE[9:]), chunked(PAGE, last=False), chunked(), chunked(b"")),
    *(
        chunked(PAGE).replace(b"0\r\n\r\n", end)
        for end in (b"0\r\nX: y\r\n\r\n", b"00\r\n\r\n", b"0;a\r\n\r\n", b"0\r\n\r\nx")
    ),
    chunked(PAGE).replace(b"\r\nTransfer", b"\r\nContent-Length: 5\r\nTransfer"),
    chunked(PAGE).replace(b": chunked", b": Chunked"),
    chunked(PAGE).replace(b": chunked", b": gzip, chunked"),
    chunked(PAGE).replace(b"text/html", b"image/png"),
    html(b"5\r\nabcde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", b"Date: now", length=False),
    html(b"5 \r\nabcde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False),
    html(b"fffffff\r\nabcde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False),
)
_PAGES = (
    b"",
    PAGE + b" " * 100,
    PAGE + b" " * 100_000,
    PAGE.replace(b"</head>", b"<base href=/x></head>"),
    b"\xff\xfe" + PAGE,
    PAGE[40:],
)


def _settings(number: int) -> dict[str, Any]:
    """Settings that differ in what the usual path depends on."""
    return (
        {"capture": CaptureTable(visitor_cookie="lbc-visitor")},
        {"capture": CaptureTable(exclude=("/private/**",), no_store=("/no-store/**",))},
        {"node": {"trusted_proxies": _everybody()}},
        {"capture": CaptureTable(consent_cookie="a", consent_values=("b*",), respect_dnt=True)},
        {"node": {"public_origin": "https://public.example"}, "capture": CaptureTable(revalidate="no-store")},
        {"capture": CaptureTable(max_page_bytes=60, mask=("title",))},
        {
            "capture": CaptureTable(force_parameter="lbc-force=1", include=("/a/**",)),
            "inject": InjectTable(csp="adapt"),
        },
        {"limits": LimitsTable(header_lines=9, requests_per_connection=4, capturing_bytes=100)},
    )[number]


@cache
def _everybody() -> tuple[Any, ...]:
    from ipaddress import ip_network  # noqa: PLC0415 - used once

    return (ip_network("0.0.0.0/0"),)


def _with_fields(message: bytes, numbers: Sequence[int]) -> bytes:
    """The message with some of :data:`_FIELDS` behind its first line."""
    first, end, rest = message.partition(b"\r\n")
    lines = [_FIELDS[number % 128] + b"\r\n" for number in numbers if number % 128 < len(_FIELDS)]
    return first + end + b"".join(lines) + rest if end else message


def _pieces(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, *(place * len(data) // 256 for place in places), len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


@attrs.frozen
class Script:
    """What happens to both nodes.

    :ivar requests: for each message of the visitor its pieces.
    :ivar responses: the pieces of the response to each of them.
    :ivar ends: what the application does behind its response: ``""``, ``end`` or ``reset``.
    :ivar waits: the seconds that pass before the application answers.
    :ivar visitor_ends: the visitor closes its write side behind its message.
    :ivar is_slow: the visitor does not read the response in the middle until all of it has been sent.
    """

    requests: list[list[bytes]]
    responses: list[list[bytes]]
    ends: list[str]
    waits: list[float]
    visitor_ends: bool
    is_slow: bool


def trace(script: Script, settings: dict[str, Any], *, usual: bool) -> tuple[list[object], int]:
    """Everything that can be seen of one node, and how many responses took the usual path."""
    node = InMemoryNode(**settings)
    if not usual:
        node.context.new_usual_exchange = None
    else:
        assert node.context.new_usual_exchange is not None
    seen: list[object] = []
    arrived: list[bytes] = []
    visitor = node.connect()
    for number, pieces in enumerate(script.requests):
        if visitor.closed:
            visitor = node.connect()
        answer, then, wait = script.responses[number], script.ends[number], script.waits[number]

        if script.is_slow and number == len(script.requests) // 2:
            visitor.stop_reading()
        node.application.on_request = partial(_answer, node, arrived, answer, then, wait)
        ends = script.visitor_ends and number == len(script.requests) - 1
        for piece in pieces:
            visitor.send(piece)
            if ends and piece is pieces[-1]:
                visitor.send_eof()
            node.run()
        if wait:
            node.pass_time(wait + 1)
        if script.is_slow and number == len(script.requests) // 2:
            seen.append((visitor.received, visitor.closed, node.upstream_pool.idle))
            visitor.resume_reading()
            node.run()
        seen.append((visitor.received, visitor.eof, visitor.closed, len(node.application.connections)))
    node.pass_time(2)
    counters = attrs.asdict(node.counters)
    took = counters.pop("usual_responses")
    seen += [arrived, counters, node.logged, visitor.received, visitor.closed]
    seen += [(page.token, page.url, page.content_type, page.body, page.head, cookie) for page, cookie in node.captured]
    seen.append(repr(sorted(node.policy.range_requests.learnt.items())))
    seen += [node.upstream_pool.open, node.upstream_pool.idle, node.copies.pending, len(node.context.connections)]
    return seen, took


def _answer(
    node: InMemoryNode,
    arrived: list[bytes],
    answer: list[bytes],
    then: str,
    wait: float,
    connection: ApplicationConnection,
    received: ReceivedRequest,
) -> None:
    arrived.append(repr(received).encode())
    if wait:
        node.clock.callLater(wait, connection.send, *answer)
    else:
        connection.send(*answer)
    if then:
        node.loop.call_soon(getattr(connection, then))


def check(data: bytes) -> Hashable:
    """See :class:`fuzz.target.Target`."""
    choices, raw = data[:CHOICES], data[CHOICES:]
    if not raw or compiled_usual() is None:
        return "nothing"
    raw = _with_fields(raw, choices[-_INSERTED:]).replace(COOKIES[0], COOKIES[choices[3] // 2 % len(COOKIES)])
    settings = _settings(choices[0] % 8)
    is_request, coded = bool(choices[1] & 1), bool(choices[1] & 2)
    answer = USUAL_RESPONSE
    if coded:
        answer = html(encode_whole(b"gzip", PAGE), b"Content-Encoding: gzip", b"Date: Mon, 03 Mar 2025 10:00:00 GMT")
    pieces = _pieces(raw, choices[4:8]) if choices[1] & 4 else [raw]
    usual = ([USUAL_REQUEST], [answer])
    odd = (pieces, [answer]) if is_request else ([USUAL_REQUEST], pieces)
    # The same request without what forces its capture shows what was learnt from it.
    plain = ([piece.replace(b"?lbc-force=1", b"") for piece in odd[0]], odd[1])
    messages = [usual, usual, odd, odd, plain, usual]
    ends = ["", "", ("", "", "end", "reset")[choices[2] % 4], "", "", ""]
    script = Script(
        [asked for asked, _ in messages],
        [answered for _, answered in messages],
        ends,
        [0, 0, (0, 0, 0, 2.0)[choices[2] // 4 % 4], 0, 0, 0],
        bool(choices[3] & 1),
        bool(choices[1] & 8),
    )
    theirs, _ = trace(script, settings, usual=False)
    ours, took = trace(script, settings, usual=True)
    for step, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert one == other, f"step {step}:\nusual path {one}\nmachine    {other}"
    return took, choices[0] % 8, is_request, coded, len(ours)


def one_of_each() -> list[bytes]:
    """An input for each field, each cookie and each kind of target, in turn in all settings."""
    nothing = len(_FIELDS)
    inputs = []
    number = 0
    for side, message in ((1, USUAL_REQUEST), (0, USUAL_RESPONSE)):
        for field in range(len(_FIELDS)):
            for setting in (0, 1 + number % 7):
                inputs.append(_input(setting, side, 0, field, message))
                number += 1
    for setting in range(8):
        inputs += [_input(setting, 1, cookie, nothing, USUAL_REQUEST) for cookie in range(len(COOKIES))]
        inputs += [_input(setting, 1, 0, nothing, request(target, *BROWSER)) for target in _TARGETS]
        # The visitor has closed its write side.
        inputs.append(_input(setting, 1, 0, nothing, USUAL_REQUEST, visitor_ends=True))
        inputs += [_input(setting, side, 0, nothing, html(page)) for page in _PAGES for side in (0, 8)]
        inputs += [
            _input(setting, 0, 0, nothing, USUAL_RESPONSE.replace(b"text/html; charset=utf-8", content_type))
            for content_type in (b"*/*", b"html", b"", b"text/plain", b"text/html", b"application/xhtml+xml")
        ]
        inputs.append(_input(setting, 0, 0, nothing, USUAL_RESPONSE.replace(b"Content-Type", b"X-Type")))
        inputs += [_input(setting, 0, 0, nothing, response) for response in _CHUNKED]
    return inputs


def _input(setting: int, side: int, cookie: int, field: int, message: bytes, *, visitor_ends: bool = False) -> bytes:
    nothing = len(_FIELDS)
    return bytes((setting, side, 0, cookie * 2 + visitor_ends, *(0,) * 4, field, *(nothing,) * 3)) + message


def _seeds(random: Random) -> Sequence[bytes]:
    requests = [
        USUAL_REQUEST,
        request(b"/", *BROWSER, b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https"),
        request(b"/private/x", *BROWSER),
        request(b"/b?lbc-force=1", *BROWSER),
        request(b"/x.js", b"Accept-Encoding: gzip, br", b"Sec-Fetch-Dest: script", b"Sec-Fetch-Mode: no-cors"),
        request(b"/", b"Connection: keep-alive"),
    ]
    answers = [
        USUAL_RESPONSE,
        html(PAGE, b'ETag: "x"', b"Accept-Ranges: bytes"),
        html(PAGE.replace(b"</head>", b"<script src=/x.js></script></head>"), b"Connection: keep-alive"),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nabc",
        html(b""),
        chunked(PAGE[:20], PAGE[20:]),
    ]
    return [
        bytes((random.randrange(8), side | random.randrange(2) << 1)) + random.randbytes(CHOICES - 2) + raw
        for _ in range(16)
        for side, all_of in ((1, requests), (0, answers))
        for raw in all_of
    ]


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=CHOICES, max_bytes=8192, short_run=1500)

"""The changed heads for application and visitor, and the decision to capture: by request, then by response."""

from __future__ import annotations

import pytest
from twisted.protocols.basic import LineReceiver

from lbcompanion.http1.heads import RequestHead
from lbcompanion.protocol.headers import MAX_PAGE_URL_BYTES, page_fields
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable
from tests.support.in_memory_node import PAGE, InMemoryNode, html, read_responses, request, without_tag

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


def test_everything_else_goes_end_to_end() -> None:
    companion = InMemoryNode()
    lines = [b"X-ODD-name: 1", b"Cookie: a=b", b"Cookie: c=d", b"Accept: */*", b"X-Real-IP: 1.2.3.4"]
    companion.get(
        b"/p%20q?a=%2F&b", *lines, b"Connection: x-mine, keep-alive", b"X-Mine: 1", b"Keep-Alive: 3", b"TE: trailers"
    )
    (seen,) = companion.application.received_requests
    assert seen.target == b"/p%20q?a=%2F&b"
    raw = companion.application.connections[0].remote.received
    assert all(line + b"\r\n" in raw for line in lines)
    assert not any(seen.all(name) for name in (b"x-mine", b"connection", b"keep-alive", b"te"))


def test_answers_go_end_to_end() -> None:
    companion = InMemoryNode()
    lines = b'Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-ODD: 1\r\nETag: "x"\r\nAccept-Ranges: bytes\r\n'
    companion.application.answers(
        b"HTTP/1.1 200 Fine\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
        + lines
        + b"Content-Length: 2\r\n\r\nok"
    )
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    date = companion.context.date_line()
    assert visitor.received == b"HTTP/1.1 200 Fine\r\n" + date + lines + b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("target", "accept", "offered"),
    [
        (b"/", b"gzip, br, zstd, dcb, dcz", b"gzip, br, zstd"),
        (b"/", b"dcb", b"identity"),
        (b"/", b"*" + b",*" * 10000, b"identity"),
        (b"/robots.txt", b"gzip", b"identity"),
        (b"/", None, None),
    ],
)
def test_only_codings_that_can_be_undone_are_offered(
    target: bytes, accept: bytes | None, offered: bytes | None
) -> None:
    companion = InMemoryNode()
    companion.get(target, *([b"Accept-Encoding: " + accept] if accept else []))
    assert companion.application.received_requests[0].get(b"accept-encoding") == offered


@pytest.mark.parametrize(
    ("raw", "captured", "injected"),
    [
        (html(), True, True),
        (html(b"<p>a fragment without doctype"), True, False),
        (html(PAGE, status=b"404 Not Found"), False, False),
        (html(PAGE, status=b"206 Partial Content"), False, False),
        (html(PAGE, b"Content-Disposition: attachment"), False, False),
        (html(PAGE, b"Content-Encoding: br"), False, False),
        (html(PAGE, b"Content-Encoding: none"), True, True),
        (html(PAGE, b"Cache-Control: no-transform"), True, False),
        (html(PAGE, b"Content-Security-Policy: script-src 'none'"), True, False),
        (html(PAGE, b"Content-Security-Policy-Report-Only: script-src 'none'"), True, True),
        (html(PAGE).replace(b"text/html", b"text/plain"), False, False),
        (html(PAGE).replace(b"text/html; charset=utf-8", b"TEXT/HTML"), True, True),
    ],
)
def test_by_answer(raw: bytes, captured: bool, injected: bool) -> None:
    companion = InMemoryNode()
    companion.application.answers(raw)
    answer = companion.get()
    page = raw.partition(b"\r\n\r\n")[2]
    assert without_tag(answer.body) == page
    assert [kept.body for kept, _ in companion.captured] == ([page] if captured else [])
    if page == PAGE:
        assert (answer.body != page) is injected
    assert companion.counters.capturing_bytes == 0


def test_statuses_can_be_chosen() -> None:
    companion = InMemoryNode(capture=CaptureTable(statuses=(200, 404)))
    companion.application.answers(html(PAGE, status=b"404 Not Found"))
    assert companion.get().status == 404
    assert companion.page.status == 404


def test_injection_can_be_off() -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=False))
    companion.application.answers(html(PAGE, b'ETag: "x"', b"Repr-Digest: sha-256=:x:"))
    answer = companion.get()
    assert answer.body == PAGE
    assert answer.get(b"etag") == b'"x"'
    assert answer.get(b"repr-digest") is not None
    assert companion.page.body == PAGE


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("fragments", ["on-request", "never"])
def test_a_fragment_is_captured_when_asked_for(asked: bool, fragments: str) -> None:
    companion = InMemoryNode(capture=CaptureTable(fragments=fragments))
    companion.application.answers(html(b"<li>one more"))
    answer = companion.get(
        b"/", b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Mode: cors", *([b"Lbc-Capture: 1"] if asked else [])
    )
    assert answer.body == b"<li>one more"
    assert companion.application.received_requests[0].all(b"lbc-capture") == []
    tokens = answer.all(b"lbc-token")
    if asked and fragments == "on-request":
        assert tokens == [companion.page.token.encode()]
        assert companion.fetch(companion.page.token).body == b"<li>one more"
    else:
        assert tokens == []
        assert companion.captured == []


@pytest.mark.parametrize(
    ("theirs", "ours"), [(b'"x"', b'W/"x-lbcs"'), (b'W/"x"', b'W/"x-lbcw"'), (b'""', b'W/"-lbcs"')]
)
def test_entity_tags_go_there_and_back(theirs: bytes, ours: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(
        html(PAGE, b"ETag: " + theirs, b"Accept-Ranges: bytes", b"Content-MD5: x", b"Digest: y")
    )
    answer = companion.get()
    assert answer.all(b"etag") == [ours]
    assert not any(answer.all(name) for name in (b"accept-ranges", b"content-md5", b"digest"))
    companion.application.answers(b"HTTP/1.1 304 Not Modified\r\nETag: " + theirs + b"\r\n\r\n")
    again = companion.get(b"/", b'If-None-Match: "other", ' + ours)
    assert companion.application.received_requests[1].all(b"if-none-match") == [b'"other", ' + theirs]
    assert again.status == 304
    assert again.all(b"etag") == [ours]
    companion.get(b"/", b"If-Match: " + ours)
    assert companion.application.received_requests[2].all(b"if-match") == [theirs]


def test_an_unchanged_answers_tag_is_left_alone() -> None:
    companion = InMemoryNode()
    companion.application.answers(PLAIN.replace(b"Content-Type", b'ETag: "x"\r\nContent-Type'))
    assert companion.get().all(b"etag") == [b'"x"']
    companion.application.answers(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n')
    assert companion.get(b"/", b'If-None-Match: "x"').all(b"etag") == [b'"x"']
    assert companion.application.received_requests[1].all(b"if-none-match") == [b'"x"']


def test_head_has_the_fields_that_get_has() -> None:
    companion = InMemoryNode()
    raw = html(PAGE, b'ETag: "x"', b"Digest: y")
    companion.application.on_request = lambda connection, seen: connection.send(
        raw if seen.method == b"GET" else raw[: raw.index(b"\r\n\r\n") + 4]
    )
    get, head = companion.get(), companion.get(method=b"HEAD")
    assert [field for field in get.fields if field[0] != b"content-length"] == head.fields
    assert len(companion.captured) == 1


def test_pages_can_be_made_uncacheable() -> None:
    companion = InMemoryNode(capture=CaptureTable(revalidate="no-store"))
    companion.application.answers(html(PAGE, b'ETag: "x"', b"Last-Modified: y", b"Cache-Control: max-age=5"))
    answer = companion.get()
    assert answer.all(b"cache-control") == [b"no-store"]
    assert answer.all(b"etag") == answer.all(b"last-modified") == []
    companion.application.answers(PLAIN.replace(b"Content-Type", b'ETag: "x"\r\nContent-Type'))
    assert companion.get().all(b"etag") == [b'"x"']


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [b"404 Not Found", b"410 Gone"])
def test_robots_where_the_application_has_no_robots_txt(method: bytes, status: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(html(b"" if method == b"HEAD" else b"none", status=status, length=method == b"GET"))
    visitor = companion.connect()
    visitor.send(request(b"/robots.txt", method=method) + request(b"/robots.txt", method=method))
    companion.run()
    for answer in read_responses(visitor.received, [method] * 2, False):
        assert answer.status == 200
        assert answer.body == (b"" if method == b"HEAD" else b"User-agent: *\nDisallow: /_lbc/\nDisallow: /*-/_lbc/\n")
        assert answer.get(b"content-type") == b"text/plain; charset=utf-8"


def test_robots_where_there_is_one() -> None:
    companion = InMemoryNode()
    text = b"User-agent: bot\r\nDisallow: /a\r\n"
    companion.application.answers(
        b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: "r"\r\nContent-Length: 31\r\n\r\n' + text[:10], text[10:]
    )
    answer = companion.get(b"/robots.txt")
    assert answer.complete
    ours = b"Disallow: /_lbc/\nDisallow: /*-/_lbc/\n"
    assert answer.body == b"User-agent: bot\r\n" + ours + b"Disallow: /a\r\n\nUser-agent: *\n" + ours
    assert answer.get(b"etag") == b'W/"r-lbcs"'


def test_robots_that_is_huge_or_fails_passes() -> None:
    companion = InMemoryNode()
    huge = b"# " + b"x" * 600_000
    companion.application.answers(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(huge), huge[:300_000], huge[300_000:]
    )
    assert companion.get(b"/robots.txt").body == huge
    companion.application.answers(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")
    assert companion.get(b"/robots.txt").status == 500


def test_a_page_of_a_known_size_over_the_limit_is_left_alone() -> None:
    companion = InMemoryNode(capture=CaptureTable(max_page_bytes=50))
    assert companion.get().body == PAGE
    assert companion.counters.not_captured["larger than max_page_bytes"] == 1
    assert companion.captured == []


def test_capture_is_shed_before_traffic() -> None:
    companion = InMemoryNode(limits=LimitsTable(capturing_bytes=0))
    assert companion.get().body == PAGE
    assert companion.counters.not_captured["capture memory is full"] == 1


NAVIGATE = (b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: navigate")


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ((b"If-Modified-Since: Thu, 26 Nov 2026 10:00:00 GMT",), None),
        ((b"If-None-Match: *",), None),
        ((b'If-None-Match: "v1"',), b'"v1"'),
        ((b'If-None-Match: "v1-lbcs"',), b'W/"v1-lbcs"'),
        ((b'If-None-Match: W/"v0-lbcs"', b'If-None-Match: W/"v1-lbcs"'), b'W/"v1-lbcs"'),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_304_has_no_field_that_the_changed_page_lacks(
    asked: tuple[bytes, ...], tag: bytes | None, method: bytes
) -> None:
    companion = InMemoryNode()
    companion.application.answers(
        b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nLast-Modified: x\r\nContent-Length: 5\r\nDate: y\r\n\r\n'
    )
    answer = companion.get(b"/", *NAVIGATE, *asked, method=method)
    assert (answer.status, answer.get(b"etag"), answer.get(b"date")) == (304, tag, b"y")
    assert [answer.get(name) for name in (b"last-modified", b"content-length")] == [None, None]


def test_a_304_to_what_is_no_page_is_left_alone() -> None:
    companion = InMemoryNode()
    companion.application.answers(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nLast-Modified: x\r\n\r\n')
    answer = companion.get(b"/a.png", b"Sec-Fetch-Dest: image", b"If-Modified-Since: x")
    assert (answer.get(b"etag"), answer.get(b"last-modified")) == (b'"v1"', b"x")


def test_a_304_for_robots_txt_is_marked() -> None:
    companion = InMemoryNode()
    companion.application.answers(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
    answer = companion.get(b"/robots.txt", b'If-None-Match: W/"v1-lbcs"')
    assert (answer.status, answer.get(b"etag")) == (304, b'W/"v1-lbcs"')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "content_type"),
    [
        ((b"text/html", b"text/html; charset=UTF-8"), 'text/html; charset="utf-8"'),
        ((b"text/html, charset=utf-8",), "text/html"),
        ((b"bogus", b"text/html"), "text/html"),
        ((b"text/html;charset=UTF-8",), "text/html;charset=UTF-8"),
    ],
)
def test_a_list_of_types_is_captured_with_the_type_that_browsers_read(
    lines: tuple[bytes, ...], content_type: str
) -> None:
    companion = InMemoryNode()
    types = b"".join(b"Content-Type: %b\r\n" % line for line in lines)
    companion.application.answers(html().replace(b"Content-Type: text/html; charset=utf-8\r\n", types))
    assert without_tag(companion.get().body) == PAGE
    assert companion.page.content_type == content_type


def test_a_coding_that_is_a_charset_counts_as_identity() -> None:
    companion = InMemoryNode()
    companion.application.answers(html(PAGE, b"Content-Encoding: UTF-8"))
    answer = companion.get()
    assert without_tag(answer.body) == PAGE
    assert answer.get(b"content-encoding") == b"UTF-8"
    assert companion.page.body == PAGE


@pytest.mark.parametrize(("body", "injected"), [(b"<li>one</li><li>two</li>", False), (PAGE, True)])
def test_a_fragment_for_a_cache_that_assembles_pages(body: bytes, injected: bool) -> None:
    companion = InMemoryNode()
    companion.application.answers(html(body))
    answer = companion.get(b"/", *NAVIGATE, b'Surrogate-Capability: varnish="ESI/1.0"')
    assert (answer.body != body) is injected


@pytest.mark.parametrize("destinations", [(b"document", b"empty"), (b"document", b"document"), (b"image", b"document")])
def test_two_destinations_are_judged_alike_by_the_rule_and_the_debug_page(destinations: tuple[bytes, bytes]) -> None:
    companion = InMemoryNode()
    fields = [b"Sec-Fetch-Dest: " + destination for destination in destinations]
    companion.get(b"/", *fields)
    head = RequestHead.from_fields(b"GET", b"/", 11, [(b"sec-fetch-dest", one) for one in destinations])
    explained = dict(companion.policy.capture_rules.explain(head))["Sec-Fetch-Dest"]
    assert (explained == "not a document") == bool(companion.policy.capture_rules.refusal(head))
    assert bool(companion.captured) == (destinations == (b"document", b"document"))


def test_a_page_whose_url_cannot_be_transferred_is_not_captured() -> None:
    companion = InMemoryNode()
    longest = MAX_PAGE_URL_BYTES - len("http://www.example.com")
    companion.get(b"/".ljust(longest, b"a"))
    companion.get(b"/".ljust(longest + 1, b"a"))
    companion.get(b"/?".ljust(17000, b"a"))
    assert companion.counters.not_captured == {"address too long": 2}
    assert len(companion.page.url) == MAX_PAGE_URL_BYTES
    assert max(len(name) + len(value) + 2 for name, value in page_fields(companion.page)) < LineReceiver.MAX_LENGTH


def untyped(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: %d" % len(PAGE), b"", PAGE])


@pytest.mark.parametrize(
    "lines",
    [(), (b"Content-Type: html",), (b"Content-Type: ; charset=utf-8",), (b"Content-Type: */*",), (b"Content-Type:",)],
)
@pytest.mark.parametrize("fields", [NAVIGATE, (b"Accept: text/html,*/*",)])
def test_a_page_without_a_type_has_a_reason(lines: tuple[bytes, ...], fields: tuple[bytes, ...]) -> None:
    """Browsers find the type of such a response in its body."""
    companion = InMemoryNode()
    companion.application.answers(untyped(*lines))
    assert companion.get(b"/", *fields).body == PAGE
    assert companion.counters.not_captured == {"no content type": 1}


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (untyped(), ()),
        (untyped(), (b"Sec-Fetch-Dest: image", b"Sec-Fetch-Mode: no-cors")),
        (untyped(), (b"Accept: text/html", b"X-Requested-With: XMLHttpRequest")),
        (untyped(b"X-Content-Type-Options: nosniff"), NAVIGATE),
        (untyped(b"Content-Type: text/plain"), NAVIGATE),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", NAVIGATE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NAVIGATE),
    ],
)
def test_what_is_not_shown_as_a_page_has_none(answer: bytes, fields: tuple[bytes, ...]) -> None:
    companion = InMemoryNode()
    companion.application.answers(answer)
    companion.get(b"/", *fields)
    assert not companion.counters.not_captured

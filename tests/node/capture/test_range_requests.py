"""Requests for a part of a page, and for parts of files."""

from __future__ import annotations

import pytest

from lbcompanion.settings import CaptureTable, InjectTable
from tests.support.in_memory_node import InMemoryNode, html, without_tag

RESUME = b"Range: bytes=2000-"
SINCE = b"If-Range: Thu, 26 Nov 2026 10:00:00 GMT"
NAVIGATE = (b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: navigate")
VIDEO = b"HTTP/1.1 206 Partial Content\r\nContent-Type: video/mp4\r\nContent-Length: 1\r\n\r\nx"


def passed_on(companion: InMemoryNode, target: bytes, *fields: bytes) -> list[bytes | None]:
    companion.get(target, *fields)
    received = companion.application.received_requests[-1]
    return [received.get(b"range"), received.get(b"if-range")]


@pytest.mark.parametrize(
    "fields",
    [
        (RESUME,),
        (RESUME, SINCE),
        (b"Range: bytes=0-99", SINCE),
        (b"Range: bytes=-500",),
        (b"Range: bytes=1-2, 5-6",),
        (b"Range: bytes=0-99", b"Accept: text/html,*/*"),
        (b"Range: bytes=0-99", *NAVIGATE),
        (RESUME, SINCE, *NAVIGATE),
    ],
)
@pytest.mark.parametrize("target", [b"/", b"/page", b"/page.html", b"/page.php?x=.mp4"])
def test_a_page_is_requested_whole(target: bytes, fields: tuple[bytes, ...]) -> None:
    assert passed_on(InMemoryNode(), target, *fields) == [None, None]


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (b"/film.mp4", (RESUME,)),
        (b"/Film.MP4?x", (RESUME,)),
        (b"/report.pdf", (b"Range: bytes=-500",)),
        (b"/stream", (b"Range: bytes=0-",)),
        (b"/stream", (b"Range: bytes=0-1",)),
        (b"/x", (RESUME, b"Sec-Fetch-Dest: video", b"Sec-Fetch-Mode: no-cors")),
        (b"/x", (RESUME, b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Mode: cors")),
        (b"/x", (RESUME, b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Mode: navigate")),
        (b"/x", (RESUME, b"X-Requested-With: XMLHttpRequest")),
        (b"/x", (RESUME, b"Cookie: WRUID=0")),
    ],
)
def test_a_range_of_what_is_no_page_is_kept(target: bytes, fields: tuple[bytes, ...]) -> None:
    assert passed_on(InMemoryNode(), target, *fields)[0] is not None


def test_a_range_is_kept_where_nothing_is_captured() -> None:
    assert passed_on(InMemoryNode(capture=CaptureTable(exclude=("/files/**",))), b"/files/a", RESUME)[0] is not None


def test_a_range_is_kept_where_nothing_is_inserted() -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=False))
    assert passed_on(companion, b"/", RESUME, SINCE, *NAVIGATE) == [b"bytes=2000-", SINCE.partition(b": ")[2]]
    companion.application.answers(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nLast-Modified: x\r\n\r\n')
    answer = companion.get(b"/", *NAVIGATE, b"If-Modified-Since: x")
    assert (answer.get(b"etag"), answer.get(b"last-modified")) == (b'"v1"', b"x")


def test_the_type_of_a_path_is_learnt() -> None:
    companion = InMemoryNode()
    companion.application.answers(VIDEO)
    assert passed_on(companion, b"/stream", RESUME) == [None, None]
    assert passed_on(companion, b"/stream", RESUME) == [b"bytes=2000-", None]
    assert passed_on(companion, b"/other", RESUME) == [None, None]


def test_a_page_with_the_name_of_a_file_is_learnt() -> None:
    companion = InMemoryNode()
    companion.get(b"/wiki/File:Photo.jpg")
    assert passed_on(companion, b"/wiki/File:Photo.jpg", RESUME) == [None, None]
    assert passed_on(companion, b"/wiki/File:Other.jpg", RESUME) == [b"bytes=2000-", None]


def test_the_type_of_a_path_may_change() -> None:
    companion = InMemoryNode()
    for _ in range(2):
        companion.application.answers(VIDEO)
        assert passed_on(companion, b"/stream", RESUME) == [None, None]
        assert passed_on(companion, b"/stream", RESUME) == [b"bytes=2000-", None]
        companion.application.answers(html(status=b"404 Not Found"))
        companion.get(b"/stream")
        assert passed_on(companion, b"/stream", RESUME) == [b"bytes=2000-", None]
        companion.application.answers(html())
        companion.get(b"/stream")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_a_response_without_content_shows_no_type(answer: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(answer)
    assert passed_on(companion, b"/account", RESUME) == [None, None]
    assert passed_on(companion, b"/account", RESUME) == [None, None]


def test_robots_txt_is_requested_whole() -> None:
    assert passed_on(InMemoryNode(), b"/robots.txt", RESUME, SINCE) == [None, None]


def test_a_page_that_is_resumed_has_no_hole() -> None:
    """A client that has a part of the changed page gets the page again, and no validator to resume with."""
    page = b"<!DOCTYPE html><html><head></head><body>" + b"<p>line</p>" * 500 + b"</body></html>"
    companion = InMemoryNode()
    companion.application.answers(html(page, b"Last-Modified: Thu, 26 Nov 2026 10:00:00 GMT", b"Accept-Ranges: bytes"))
    first = companion.get(b"/")
    assert [first.get(name) for name in (b"last-modified", b"accept-ranges")] == [None, None]
    second = companion.get(b"/", RESUME, SINCE)
    assert second.status == 200
    assert without_tag(second.body) == page


def test_an_unchanged_page_keeps_its_date() -> None:
    companion = InMemoryNode()
    companion.application.answers(html(b"x", b"Last-Modified: x", b"Cache-Control: no-transform"))
    assert companion.get(b"/").get(b"last-modified") == b"x"

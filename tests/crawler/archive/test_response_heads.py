"""The HTTP heads of pages' records."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import BufferWARCWriter

from lbcompanion.crawler.archive.response_heads import OriginalHead, page_head
from lbcompanion.crawler.archive.warc_reader import read_record
from lbcompanion.crawler.archive.warc_records import page_record, redirected_revisit, response_of_revisit, warc_digest
from lbcompanion.http1.kept_head import kept_head
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.protocol.response_heads import PageHead, with_removed_parts
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import Place, copy

PAGE = b"<p>hello"


def head_of(*lines: bytes, status_line: bytes = b"HTTP/1.1 200 OK", left_out: tuple[bytes, ...] = ()) -> PageHead:
    raw = b"\r\n".join([status_line, *lines]) + b"\r\n\r\n"
    read = PageHead.read(kept_head(raw, left_out))
    assert read is not None
    return read


def record_of(head: PageHead | None, body: bytes = PAGE) -> tuple[bytes, Any]:
    """A record's HTTP head as it is written, and the record as warcio reads it."""
    written = page_record(evolve(copy(body), head=head))
    block = gzip.decompress(written).split(b"\r\n\r\n", 1)[1]
    assert block.endswith(body + b"\r\n\r\n")
    record = next(iter(ArchiveIterator(io.BytesIO(written), check_digests="raise")))
    assert record.content_stream().read() == body
    return block[: -len(body) - 4], record


def test_the_head_is_the_applications_own_byte_for_byte() -> None:
    lines = [b"server: x", b"Content-Type: text/html", b"X-A: \xfc\t'", b"Content-Length: 8", b"x-a: b", b"Empty: "]
    written, record = record_of(head_of(*lines, status_line=b"HTTP/1.0 404 Nicht gef\xfcnden"))
    assert written == b"HTTP/1.0 404 Nicht gef\xfcnden\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
    assert record.http_headers.get_statuscode() == "404"
    assert record.rec_headers.get_header("Lbc-Fields-Left-Out") is None


@pytest.mark.parametrize("status_line", [b"HTTP/1.1 200", b"HTTP/1.1 200 "])
def test_a_status_line_without_a_reason(status_line: bytes) -> None:
    written, record = record_of(head_of(b"A: b", status_line=status_line))
    assert written.splitlines()[0] == status_line
    assert record.http_headers.get_statuscode() == "200"


def test_what_was_left_out_is_named() -> None:
    head = head_of(b"Set-Cookie: a", b"A: b", b"TE: x", b"set-cookie: c", left_out=(b"set-cookie", b"te"))
    written, record = record_of(head)
    assert written == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert record.rec_headers.get_header("Lbc-Fields-Left-Out") == "Set-Cookie, TE"


@pytest.mark.parametrize("removed", [RemovedParts(), RemovedParts(2, 1)])
def test_what_the_copy_lacks_is_a_field_of_the_record_and_not_of_the_response(removed: RemovedParts) -> None:
    head = PageHead.read(with_removed_parts(kept_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", ()), removed))
    written, record = record_of(head)
    assert written == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert record.rec_headers.get_header("Lbc-Removed") == str(removed)


def test_fields_about_another_body_have_another_name() -> None:
    head = head_of(b"CONTENT-encoding: gzip", b"A: b", b"content-length: 812", b"Transfer-Encoding: chunked", b"C: d")
    written, _ = record_of(head)
    assert written == (
        b"HTTP/1.1 200 OK\r\nX-Archive-Orig-CONTENT-encoding: gzip\r\nA: b\r\nX-Archive-Orig-content-length: 812\r\n"
        b"content-length: 8\r\nX-Archive-Orig-Transfer-Encoding: chunked\r\nC: d\r\n\r\n"
    )


def test_a_head_without_a_length_gets_none() -> None:
    assert record_of(head_of(b"A: b"))[0] == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"


def test_a_copy_of_an_earlier_version_has_a_head_made_of_status_and_type() -> None:
    written, record = record_of(None)
    assert written == b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 8\r\n\r\n"
    assert record.rec_headers.get_header("Lbc-Fields-Left-Out") is None


_NAMES = st.sampled_from(["Server", "X-A", "x-a", "Content-Length", "content-length", "Content-Encoding", "ETag"])
_FIELDS = st.lists(st.tuples(_NAMES, st.sampled_from(["", "a: b", "8", "08", "9", "gzip", "\xfc"])), max_size=8)


@given(_FIELDS)
def test_any_fields_come_out_in_their_order_and_the_body_can_be_read(fields: list[tuple[str, str]]) -> None:
    head = PageHead("HTTP/1.1 200 OK", 200, tuple(fields))
    written, record = record_of(head)
    read = [tuple(line.split(": ", 1)) for line in written.decode("latin-1").split("\r\n")[1:-2]]
    lengths = [value for name, value in read if name.lower() == "content-length"]
    assert lengths == ["8"] * any(name.lower() == "content-length" for name, _ in fields)
    before = ["", *[name for name, _ in read]]
    added = [place for place, (name, _) in enumerate(read) if before[place] == f"X-Archive-Orig-{name}"]
    own = [field for place, field in enumerate(read) if place not in added]
    assert [(name.removeprefix("X-Archive-Orig-"), value) for name, value in own] == fields
    assert record.http_headers.get_header("Content-Encoding") is None


@pytest.mark.slow
def test_a_page_whose_head_is_not_ascii_is_archived(tmp_path: Path) -> None:
    place = Place(tmp_path)
    head = head_of(b"X-A: \xfc", b'Content-Disposition: inline; filename="\xc3\xbc"')
    place.store("t1", PAGE, head=head)
    assert place.page("t1") == PAGE
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response"]


def test_the_head_of_a_page_is_one_for_all_records() -> None:
    """A revisit record has the head of the page too."""
    assert page_head(evolve(copy(PAGE), head=head_of(b"A: b"))).headers == [("A", "b")]


def test_a_head_in_a_revisit_is_copied_byte_for_byte() -> None:
    head = OriginalHead.read(b"HTTP/1.1 200 G\xfct\r\nX-A: \xff: b\r\nx-a: \r\n\r\n")
    writer = BufferWARCWriter(gzip=True, warc_version="WARC/1.1")
    fields = {"WARC-Date": "2026-11-23T21:10:00.000000Z", "Lbc-Fields-Left-Out": "Set-Cookie"}
    fields["Lbc-Removed"] = "elements=1, blocks=0, documents=0"
    writer.write_record(
        writer.create_revisit_record(
            *("http://www.example.com/", warc_digest(digest_of(PAGE)), "http://www.example.com/a"),
            "2026-11-23T21:09:00.000000Z",
            http_headers=head,
            warc_headers_dict=fields,
        )
    )
    revisit = writer.get_contents()
    written = b"HTTP/1.1 200 G\xfct\r\nX-A: \xff: b\r\nx-a: \r\n\r\n"
    for copied, body in (
        (response_of_revisit(revisit, PAGE), PAGE),
        (redirected_revisit(revisit, "http://www.example.com/b", "2026-11-23T21:08:00.000000Z"), b""),
    ):
        plain = gzip.decompress(copied)
        assert plain.split(b"\r\n\r\n", 1)[1] == written + body + b"\r\n\r\n"
        assert b"\r\nLbc-Fields-Left-Out: Set-Cookie\r\nLbc-Removed: elements=1, blocks=0, documents=0\r\n" in plain
        record = next(iter(ArchiveIterator(io.BytesIO(copied), check_digests="raise")))
        assert record.content_stream().read() == body


@given(st.lists(st.tuples(_NAMES, st.sampled_from(["", "a: b", "\xfc"]))), st.sampled_from(["", " ", " G\xfct"]))
def test_a_head_is_read_back_as_it_was_written(fields: list[tuple[str, str]], reason: str) -> None:
    head = OriginalHead(f"200{reason}", fields, protocol="HTTP/1.1")
    head.compute_headers_buffer()
    again = OriginalHead.read(head.headers_buff)
    again.compute_headers_buffer()
    assert again.headers_buff == head.headers_buff
    assert again.headers == fields


def test_the_archives_own_reader_reads_such_records() -> None:
    for status_line in (b"HTTP/1.0 404", b"HTTP/1.1 404 ", b"HTTP/1.1 404 G\xfct"):
        head = head_of(b"Content-Type: text/html", b"X-A: \xfc\t\xff", b"Empty:", status_line=status_line)
        written = page_record(evolve(copy(PAGE), head=head))
        record, payload = read_record(io.BytesIO(written), 0)
        assert (record.status, record.http_fields["content-type"], payload) == (404, "text/html", PAGE)
        assert record.length == len(written)

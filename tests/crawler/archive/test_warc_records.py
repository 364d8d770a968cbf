"""The contents of WARC records."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import pytest
from attrs import evolve
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import BufferWARCWriter

from lbcompanion.crawler.archive.warc_records import (
    RecordRefused,
    Requisite,
    _kept_digest,
    page_record,
    page_revisit_record,
    redirected_revisit,
    request_record,
    requisite_record,
    response_of_revisit,
    revisit_record,
)
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival

HOSTILE = ["x\r\nX-Injected: yes", "x\ny", "x\ry", "x\x00", "x\x1b", "x\x7f", "x\x85", "x\u2028", "\u00fcx"]


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("of", ["url", "method", "content_type", "node"])
def test_no_record_has_other_than_printable_ascii_in_its_heads(tmp_path: Path, of: str, value: str) -> None:
    place = Place(tmp_path)
    place.backlog.add([arrival("t1")], NOW)
    wrong = f"http://www.example.com/{value}" if of == "url" else value
    with pytest.raises(RecordRefused) as told:
        place.archive.store("t1", evolve(copy(b"one"), **{of: wrong}), (), "own", ())
    assert str(told.value).isprintable()
    assert "Injected" not in str(told.value)
    place.store("t2", b"two")
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response"]


@pytest.mark.slow
@pytest.mark.parametrize("url", ["", "x", "ftp://a/", "http://", "http://www.example.com/a b", "urn:x:y"])
def test_no_record_is_of_what_is_no_address(tmp_path: Path, url: str) -> None:
    place = Place(tmp_path)
    place.backlog.add([arrival("t1")], NOW)
    with pytest.raises(RecordRefused):
        place.archive.store("t1", evolve(copy(b"one"), url=url), (), "own", ())


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
def test_a_file_that_no_record_can_hold_is_left_out(tmp_path: Path, value: str) -> None:
    place = Place(tmp_path)
    good = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
    bad = evolve(good, url=f"http://www.example.com/{value}")
    place.store("t1", b"one", (bad, evolve(good, content_type=value), good, bad))
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response"]
    assert place.records()[2][1] == good.url


@pytest.mark.slow
def test_a_revisit_keeps_its_head_when_it_gets_the_payload() -> None:
    fields = (("X-B", "\xe9"), ("X-A", "1"), ("X-A", "2: 3"), ("Content-Type", "text/html"))
    page = evolve(copy(b"body"), head=PageHead("HTTP/1.1 200 Tr\xe8s bien", 200, fields, ("Set-Cookie",)))
    date, later = "2026-11-22T21:10:00.000000Z", "2026-11-24T21:10:00.000000Z"
    revisit = page_revisit_record(page, "<urn:uuid:1>", "http://www.example.com/first", date)
    whole = page_record(page, "<urn:uuid:1>")
    assert lines(response_of_revisit(revisit, b"body")) == lines(whole)
    assert b"\r\nX-B: \xe9\r\nX-A: 1\r\nX-A: 2: 3\r\n" in gzip.decompress(response_of_revisit(revisit, b"body"))
    other = redirected_revisit(revisit, "http://www.example.com/second", later)
    changed = {b"/first": b"/second", date.encode(): later.encode()}
    expected = gzip.decompress(revisit)
    for old, new in changed.items():
        expected = expected.replace(old, new)
    assert lines(other) == lines(gzip.compress(expected))


def lines(record: bytes) -> list[bytes]:
    return sorted(gzip.decompress(record).split(b"\r\n"))


def test_warcio_writes_the_records_in_the_same_way() -> None:
    date, first = "2026-11-22T21:10:00.000000Z", "http://www.example.com/first"
    head = PageHead("HTTP/1.1 200 OK", 200, (("X-A", "1"), ("Content-Type", "text/css")), ("Set-Cookie",))
    page = evolve(copy(b"body" * 9000), head=head)
    empty = evolve(copy(b""), head=None)
    file = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}", head)
    revisit = page_revisit_record(page, "<urn:uuid:1>", first, date)
    for record in (
        page_record(page),
        page_record(empty),
        request_record(evolve(page, method="POST"), "<urn:uuid:1>"),
        requisite_record(file, date),
        requisite_record(evolve(file, head=None), date),
        revisit_record(file, date, first, date),
        revisit,
        response_of_revisit(revisit, page.body),
        redirected_revisit(revisit, file.url, date),
    ):
        assert lines(record) == lines(written_by_warcio(record))


def test_long_heads_stay_in_no_memory() -> None:
    page = evolve(copy(b"x"), head=PageHead("HTTP/1.1 200 OK", 200, (("X-Long", "y" * 5000),)))
    record = page_revisit_record(page, "<urn:uuid:1>", page.url, "2026-11-22T21:10:00Z")
    before = _kept_digest.cache_info()
    assert page_revisit_record(page, "<urn:uuid:1>", page.url, "2026-11-22T21:10:00Z") == record
    assert lines(record) == lines(written_by_warcio(record))
    assert _kept_digest.cache_info() == before


def written_by_warcio(record: bytes) -> bytes:
    """The record, made by warcio from its URL, its type, its own fields, and its HTTP message."""
    read = next(iter(ArchiveIterator(BytesIO(record), check_digests="raise")))
    writer = BufferWARCWriter(gzip=True, warc_version="WARC/1.1")
    named = dict(read.rec_headers.headers)
    url, kind, length = (named.pop(name) for name in ("WARC-Target-URI", "WARC-Type", "Content-Length"))
    del named["Content-Type"]
    body = read.content_stream().read()
    if kind == "revisit":
        del named["WARC-Profile"], named["WARC-Block-Digest"]
        digest, to_url, to_date = (
            named.pop(f"WARC-{each}") for each in ("Payload-Digest", "Refers-To-Target-URI", "Refers-To-Date")
        )
        made = writer.create_revisit_record(url, digest, to_url, to_date, read.http_headers, named)
    else:
        block_digest = named.pop("WARC-Block-Digest")
        if kind == "request":
            del named["WARC-Payload-Digest"]
        made = writer.create_warc_record(
            url, kind, BytesIO(body), len(body), warc_headers_dict=named, http_headers=read.http_headers
        )
        if kind == "response":
            made.rec_headers.add_header("WARC-Block-Digest", block_digest)
    writer.write_record(made)
    assert dict(made.rec_headers.headers)["Content-Length"] == length
    return bytes(writer.get_contents())

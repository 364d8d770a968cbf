"""Members of WARC files: damaged files are readable around the damage, and warcio reads the written ones."""

from __future__ import annotations

import gzip
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.warc_records import page_record
from lbcompanion.crawler.erasure.warc_members import members, read_record
from tests.support.archives import copy


def record(body: bytes) -> bytes:
    return page_record(copy(body))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.data())
def test_all_but_the_damaged_member_are_found(bodies: list[bytes], data: st.DataObject) -> None:
    parts = [record(body) for body in bodies]
    starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
    broken = data.draw(st.integers(0, len(parts) - 1))
    parts[broken] = bytes(len(parts[broken]))
    joined = b"".join(parts)
    found = list(members(BytesIO(joined), len(joined), starts))
    assert [(each.offset, each.length) for each in found] == [
        (start, len(part)) for start, part in zip(starts, parts, strict=True)
    ]
    assert [each.is_readable for each in found] == [number != broken for number in range(len(parts))]


@given(st.binary(max_size=100_000))
def test_a_record_is_written_back(body: bytes) -> None:
    plain = gzip.decompress(record(body))
    read = read_record(plain)
    assert read is not None
    assert read.payload == body
    assert gzip.decompress(read.dump()) == plain


def test_a_changed_record_has_right_lengths_and_digests() -> None:
    read = read_record(gzip.decompress(record(b"one")))
    assert read is not None
    changed = read.replaced({"lbc-node": None, "warc-date": "2026-11-23T21:10:00Z"}, read.block + b" more")
    found = next(iter(ArchiveIterator(BytesIO(changed.dump()))))
    assert found.content_stream().read() == b"one more"
    assert found.rec_headers.get_header("WARC-Date") == "2026-11-23T21:10:00Z"
    assert found.rec_headers.get_header("Lbc-Node") is None


def test_what_is_no_record_is_none() -> None:
    assert read_record(b"") is None
    assert read_record(b"HTTP/1.1 200 OK\r\n\r\n\r\n\r\n") is None

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.warc_reader import UnreadableRecord, read_record, start_of_record, stored_records
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import Place

STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")


def content(folder: Path) -> bytes:
    place = Place(folder)
    place.store("t1", b"<p>one</p>", (STYLE,))
    place.store("t2", b"<p>two</p>", (STYLE,), method="POST", status=404)
    return place.files()[0].read_bytes()


@pytest.mark.slow
def test_the_records_of_a_file_follow_one_another(tmp_path: Path) -> None:
    data = content(tmp_path)
    records = list(stored_records(io.BytesIO(data)))
    assert [each.kind for each in records] == [
        *("warcinfo", "response", "response"),
        *("response", "request", "revisit"),
    ]
    ends = [each.offset + each.length for each in records]
    assert [each.offset for each in records] == [0, *ends[:-1]]
    assert ends[-1] == len(data)
    page, request = records[3], records[4]
    assert (page.status, page.url, request.method) == (404, "http://www.example.com/a?b=c", "POST")
    assert page.http_fields["content-type"] == "text/html; charset=utf-8"
    assert page.payload_digest.startswith("sha256:")
    for each in records:
        found, _ = read_record(io.BytesIO(data), each.offset)
        assert found.record_id == each.record_id != ""
    assert read_record(io.BytesIO(data), page.offset)[1] == b"<p>two</p>"
    until = list(stored_records(io.BytesIO(data), end=page.offset))
    assert until == records[:3]


@pytest.mark.slow
def test_damage_is_reported(tmp_path: Path) -> None:
    data = content(tmp_path)
    records = list(stored_records(io.BytesIO(data)))
    with pytest.raises(UnreadableRecord):
        list(stored_records(io.BytesIO(data[: records[1].offset] + b"no record at all")))
    for offset in (1, records[1].offset + 3, len(data), len(data) + 9):
        with pytest.raises(UnreadableRecord):
            read_record(io.BytesIO(data), offset)
    # Cut at any byte but the end of a record: nothing short is taken for whole.
    ends = {0, *(each.offset + each.length for each in records)}
    for cut in sorted({*range(1, len(data), 7), *(end + shift for end in ends for shift in (-1, 1, 2))} - ends):
        with pytest.raises(UnreadableRecord):
            list(stored_records(io.BytesIO(data[: max(cut, 1)] if cut < len(data) else data + b"x")))


@pytest.mark.parametrize("before", [0, 1, 2**18 - 3, 2**18 - 2, 2**18 - 1, 2**18, 2**19 - 2])
def test_the_next_record_after_damage(before: int) -> None:
    """At the edges of the parts that are read too; other gzip members and their first bytes are passed over."""
    record = gzip.compress(b"WARC/1.1\r\n")
    others = gzip.compress(b"a body") + b"\x1f\x8b\x08"
    data = bytes(before) + others + record
    assert start_of_record(io.BytesIO(data), 0) == before + len(others)
    assert start_of_record(io.BytesIO(data), before + len(others) + 1) == -1
    assert start_of_record(io.BytesIO(bytes(before) + record), 0) == before

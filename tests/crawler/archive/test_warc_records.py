"""The contents of WARC records."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.archive.warc_records import RecordRefused, Requisite
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

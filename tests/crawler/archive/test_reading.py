"""Reading pages: errors, and the bytes of revisits."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import Place


@pytest.mark.slow
def test_the_bytes_of_a_revisit_may_be_in_a_requisite_only(tmp_path: Path) -> None:
    place = Place(tmp_path)
    requisite = Requisite("http://www.example.com/frame.html", "text/html", digest_of(b"frame"), b"frame")
    place.store("t1", b"one", (requisite,))
    place.store("t2", b"frame")
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response", "revisit"]
    assert place.page("t2") == b"frame"


@pytest.mark.slow
def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    with pytest.raises(ArchiveError):
        place.archive.reader.read_page("../q.db", 0)
    with pytest.raises(ArchiveError):
        place.archive.reader.read_page("missing.warc.gz", 0)
    with pytest.raises(ArchiveError):
        place.archive.reader.read_page(place.files()[0].name, 3)

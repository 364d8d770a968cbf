from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.replay.recorded_files import RecordedFiles
from tests.support.admin_server import requisite
from tests.support.archives import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_files_of_a_recording_end_where_the_next_one_begins(place: Place) -> None:
    names = [("/a", "/b"), (), ("/b", "/c")]
    for number, files in enumerate(names):
        place.store(f"t{number}", b"%d" % number, tuple(requisite(name, name.encode(), "text/css") for name in files))
    files = RecordedFiles(place.archive.reader)
    rows = [place.backlog.recording(f"t{number}") for number in range(3)]
    found = [files.read(row["warc_file"], row["warc_offset"], "") for row in rows if row is not None]
    assert [[url[-2:] for url in each.files] for each in found] == [list(each) for each in names]
    assert [each.kind for each in found[2].files.values()] == ["revisit", "response"]
    # Without a hint the whole archive file is searched, and the place is remembered.
    revisit = next(iter(found[2].files.values()))
    assert files.body(found[2], revisit) == files.body(found[2], revisit, [10**9]) == b"/b"
    assert files.read(found[0].file, found[0].page.offset, "") is found[0]
    warc, http = files.head(found[0])
    assert warc.startswith("WARC/1.1\r\n")
    assert http.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8")


def test_a_record_that_cannot_be_read_is_an_error_of_the_archive(place: Place) -> None:
    place.store("t", b"x")
    files = RecordedFiles(place.archive.reader)
    row = place.backlog.recording("t")
    assert row is not None
    with pytest.raises(ArchiveError, match="no record can be read at byte 3"):
        files.read(row["warc_file"], 3, "")
    with pytest.raises(ArchiveError, match="ends before byte"):
        files.read(row["warc_file"], 10**9, "")

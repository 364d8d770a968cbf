"""The index beside a file has the lines that any reader of the file would write."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.archive import cdxj
from lbcompanion.crawler.archive.cdxj import index_lines
from lbcompanion.crawler.archive.file_index import index_name, index_path, remove_index, write_index
from lbcompanion.crawler.archive.uploads import UploadStopped
from lbcompanion.crawler.archive.warc_reader import UnreadableRecord, stored_records
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival

STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")


def filled(place: Place, number: int = 6) -> Path:
    for each in range(number):
        method = "POST" if each == 2 else "GET"
        page = copy(f"<p>{each % 3}".encode(), method=method, status=404 if each == 4 else 200)
        page = evolve(page, url=f"http://www.example.com/{each % 2}?q={each}", captured_at=NOW + each / 3)
        place.backlog.add([arrival(f"t{each}")], NOW)
        place.archive.store(f"t{each}", page, (STYLE,), "own", ())
    return place.files()[-1]


@pytest.mark.slow
def test_it_has_the_lines_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled(Place(tmp_path))
    with file.open("rb") as stream:
        expected = "".join(each.text for each in sorted(index_lines(stored_records(stream), file.name)))
    for lines in (100, 3):
        monkeypatch.setattr(cdxj, "_SORTED_LINES", lines)
        write_index(file)
        assert index_path(file).read_text("ascii") == expected
    assert expected.count("\n") == 12
    assert "__wb_method=post" in expected
    assert '"mime": "warc/revisit"' in expected
    assert '"status": "404"' in expected
    assert index_path(file).stat().st_mode & 0o777 == 0o600
    assert index_path(file).name == index_name(file.name) == file.name.replace(".warc.gz", ".cdxj")
    remove_index(file)
    remove_index(file)
    assert [each for each in file.parent.iterdir() if each.name != ".crawler.mark"] == [file]


@pytest.mark.slow
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    file = filled(Place(tmp_path))

    def stop() -> None:
        raise UploadStopped("the crawler stops")

    with pytest.raises(UploadStopped):
        write_index(file, stop)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UnreadableRecord):
        write_index(file)
    assert [each for each in file.parent.iterdir() if each.name != ".crawler.mark"] == [file]

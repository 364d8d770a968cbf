from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.archive.export import ExportFailed
from lbcompanion.crawler.archive.export_command import export_pages
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.settings import CrawlerTable
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival


@pytest.mark.slow
def test_the_index_of_a_warc_file_is_sorted(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_bytes=1)
    for number, name in enumerate("cab"):
        place.backlog.add([arrival(name)], NOW)
        page = evolve(copy(name.encode()), url=f"http://www.example.com/{name}", captured_at=NOW - number)
        place.archive.store(name, page, (), "own", ())
    settings = CrawlerTable(tmp_path, b"", queue=f"sqlite:///{tmp_path}/q.db", archive_dir=tmp_path / "archive")
    warc, index = tmp_path / "all.warc.gz", tmp_path / "all.cdxj"
    done = export_pages(settings, Filters(), warc=warc, cdxj=index, now=NOW)
    assert (done.pages, done.records, done.size) == (3, 3, warc.stat().st_size)
    assert [line.split()[0] for line in index.read_text().splitlines()] == [
        *("com,example)/a", "com,example)/b", "com,example)/c"),
    ]
    place.files()[0].unlink()
    with pytest.raises(ExportFailed):
        export_pages(settings, Filters(), warc=tmp_path / "again.warc.gz", cdxj=tmp_path / "again.cdxj", now=NOW)
    assert list(tmp_path.glob("again*")) == []

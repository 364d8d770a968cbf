from __future__ import annotations

import io
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from lbcompanion.crawler.archive import export_command
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


def _settings(tmp_path: Path) -> CrawlerTable:
    place = Place(tmp_path)
    place.backlog.add([arrival("a")], NOW)
    place.archive.store("a", copy(b"a" * 5000), (), "own", ())
    return CrawlerTable(tmp_path, b"", queue=f"sqlite:///{tmp_path}/q.db", archive_dir=tmp_path / "archive")


def test_one_file_without_the_other_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path)
    warc, index = tmp_path / "all.warc.gz", tmp_path / "all.cdxj"
    with pytest.raises(ExportFailed, match="needs a file of its own"):
        export_pages(settings, Filters(), warc=warc, cdxj=tmp_path / "." / "all.warc.gz", now=NOW)
    link = os.link

    def no_link(source: str, target: Path) -> None:
        if target == index:
            raise PermissionError(1, "Operation not permitted")
        link(source, target)

    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(ExportFailed, match=r"all\.cdxj cannot be written: Operation not permitted"):
        export_pages(settings, Filters(), warc=warc, cdxj=index, now=NOW)
    assert list(tmp_path.glob("*all*")) == []


def test_a_full_disk_is_not_taken_for_an_unreadable_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path)

    class FullFile(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_command, "new_file", lambda path: nullcontext(FullFile()))
    with pytest.raises(ExportFailed, match="the new file cannot be written: No space left on device"):
        export_pages(settings, Filters(), now=NOW, warc=tmp_path / "out")

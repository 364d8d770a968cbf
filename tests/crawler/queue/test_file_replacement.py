"""A file is replaced in one transaction, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from lbcompanion.crawler.queue.erasures import Selection
from lbcompanion.crawler.queue.file_replacement import FileReplacements, FileRow, MovedPayload, Replacement
from tests.support.arrivals import arrival
from tests.support.erasing_place import ErasingPlace, file_of_page

CSS = file_of_page("x.css", b"body {}")


def marked(folder: Path) -> tuple[ErasingPlace, str, list[FileRow]]:
    place = ErasingPlace(folder)
    place.keep("t1", b"one", CSS)
    place.keep("t2", b"two")
    number = place.erasures.begin(Selection(tokens=("t1",)), "command", 1.0)
    place.erasures.erase(number, Selection(tokens=("t1",)), 1.0)
    (name,) = place.index.files()
    return place, name, place.replacements.rows(name)


@pytest.mark.slow
def test_rows_follow_their_records(tmp_path: Path) -> None:
    place, name, (first, second) = marked(tmp_path)
    assert (first.erasure, second.erasure) == (1, None)
    assert place.replacements.waiting_files() == [name]
    place.replacements.doom("b.warc.gz")
    change = Replacement(name, "b.warc.gz", 77, {second.id: 5}, [first.id], [], {1: 2}, 9, "s3://bucket")
    place.replacements.replace(
        [change], [MovedPayload("b.warc.gz", CSS.sha256.hex(), "http://www.example.com/y", "date")]
    )
    assert place.index.files() == {"b.warc.gz": 77}
    row = place.backlog.recording("t2")
    assert row is not None
    assert (row["warc_file"], row["warc_offset"]) == ("b.warc.gz", 5)
    assert place.replacements.doomed() == {name: "s3://bucket"}
    assert place.replacements.waiting_files() == []
    moved = place.index.payloads("b.warc.gz")[CSS.sha256.hex()]
    assert (moved.url, moved.date) == ("http://www.example.com/y", "date")
    entry = place.erasures.entry(1)
    assert (entry["records"], entry["files"], entry["bytes"]) == (2, 1, 9)
    place.replacements.removed(name)
    assert place.replacements.doomed() == {}
    place.close()


@pytest.mark.slow
def test_the_search_for_files_to_rewrite_does_not_read_all_recordings() -> None:
    def steps(recordings: int) -> int:
        database = Database(open_engine("sqlite://"))
        database.open()
        Backlog(database).add([arrival(f"t{number}") for number in range(recordings)], 0.0)
        replacements, counted = FileReplacements(database, ArchiveIndex(database)), [0]

        def count() -> int:
            counted[0] += 1
            return 0

        with database.read() as connection:
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(count, 1)
        assert replacements.waiting_files() == []
        database.close()
        return counted[0]

    assert steps(200) < steps(50) + 50


@pytest.mark.slow
def test_a_file_with_further_recordings_is_not_replaced(tmp_path: Path) -> None:
    place, name, (first, second) = marked(tmp_path)
    place.keep("t3", b"three")
    with pytest.raises(BacklogError, match="further recordings"):
        place.replacements.replace([Replacement(name, "b.warc.gz", 77, {second.id: 5}, [first.id])])
    assert list(place.index.files()) == [name]
    assert place.replacements.doomed() == {}
    place.close()

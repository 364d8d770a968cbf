from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.crawler.queue.archive_index import ArchivedRecord, ArchiveIndex
from lbcompanion.crawler.queue.backlog import AlreadyEnded, Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from lbcompanion.crawler.queue.payload_places import Payload
from tests.support.arrivals import arrival

KEPT = ArchivedRecord("a.warc.gz", 10, 123, "n1", "own", "ab" * 32, 5, "text/html", 3.0, "http://www.example.com/x")

SHEET = Payload("cd" * 32, "http://www.example.com/s.css", "2026", "", 77)


def fresh() -> tuple[Backlog, ArchiveIndex]:
    database = Database(open_engine("sqlite://"))
    database.open()
    return Backlog(database), ArchiveIndex(database)


def test_the_end_of_the_file_is_committed_with_the_outcome() -> None:
    backlog, index = fresh()
    index.new_file("a.warc.gz", 0.0)
    backlog.add([arrival("t")], 1.0)
    index.mark_archived("t", KEPT, (), 2.0)
    assert index.files() == {"a.warc.gz": 123}
    with pytest.raises(AlreadyEnded):
        index.mark_archived("t", evolve(KEPT, committed=456), (), 3.0)
    assert index.files() == {"a.warc.gz": 123}
    row = backlog.recording("t")
    assert row is not None
    assert (row["outcome"], row["warc_file"], row["warc_offset"], row["finished_at"]) == (
        "archived",
        "a.warc.gz",
        10,
        2,
    )


def test_payloads_are_found_by_their_file() -> None:
    backlog, index = fresh()
    for name in ("a.warc.gz", "b.warc.gz"):
        index.new_file(name, 0.0)
    backlog.add([arrival("t")], 1.0)
    index.mark_archived("t", evolve(KEPT, payloads=(SHEET,)), (), 2.0)
    assert index.payloads("a.warc.gz") == {SHEET.sha256: evolve(SHEET, file="a.warc.gz")}
    assert index.payloads("b.warc.gz") == {}
    assert list(index.files()) == ["a.warc.gz", "b.warc.gz"]


def test_what_is_refused_leaves_no_payload() -> None:
    _, index = fresh()
    index.new_file("a.warc.gz", 0.0)
    with pytest.raises(AlreadyEnded):
        index.mark_archived("never there", evolve(KEPT, payloads=(SHEET,)), (), 2.0)
    assert (index.files(), index.payloads("a.warc.gz")) == ({"a.warc.gz": 0}, {})


def test_a_page_does_not_refer_to_a_file_that_was_replaced() -> None:
    backlog, index = fresh()
    index.new_file("a.warc.gz", 0.0)
    backlog.add([arrival("t")], 1.0)
    with pytest.raises(BacklogError, match="replaced meanwhile"):
        index.mark_archived("t", evolve(KEPT, references=(evolve(SHEET, file="gone.warc.gz"),)), (), 2.0)
    assert index.files() == {"a.warc.gz": 0}
    row = backlog.recording("t")
    assert row is not None
    assert row["outcome"] is None


def test_the_last_archived_pages_are_those_of_this_crawler() -> None:
    backlog, index = fresh()
    other = ArchiveIndex(index._database, "other")
    index.new_file("a.warc.gz", 0.0)
    other.new_file("b.warc.gz", 0.0)
    backlog.add([arrival(f"t{number}") for number in range(6)], 1.0)
    for number in range(4):
        index.mark_archived(f"t{number}", evolve(KEPT, committed=200 + number), (), 100.0 + 30 * number)
    other.mark_archived("t4", evolve(KEPT, file="b.warc.gz"), (), 500.0)
    assert {page.token for page in index.last_archived(60, 10)} == {"t1", "t2", "t3"}
    assert [page.token for page in index.last_archived(60, 2)] == ["t3", "t2"]
    (page,) = other.last_archived(60, 10)
    assert (page.token, page.site, page.owner) == ("t4", "main", "n1")


def test_a_file_that_was_changed_since_it_was_read_is_not_marked_as_uploaded() -> None:
    backlog, index = fresh()
    index.new_file("a.warc.gz", 0.0)
    before = index.file("a.warc.gz")
    backlog.add([arrival("t")], 1.0)
    index.mark_archived("t", KEPT, (), 2.0)
    index.close_files()
    assert before is not None
    assert not index.mark_uploaded(before, "s3://bucket")
    (closed,) = index.closed_files()
    assert index.mark_uploaded(closed, "s3://bucket")
    assert index.closed_files() == []

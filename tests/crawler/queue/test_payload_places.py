"""References between archive files: changed as a whole, and found by file and digest."""

from __future__ import annotations

import pytest

from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.payload_places import (
    Payload,
    PayloadPlace,
    Reference,
    ReferenceChange,
    change_references,
    insert_references,
    references_of,
)


def payload(number: int, file: str) -> Payload:
    return Payload(f"{number:064x}", "http://www.example.com/x", "2026-11-23T21:10:00Z", file, number)


@pytest.mark.slow
def test_references_are_changed_together() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    index = ArchiveIndex(database)
    index.new_file("a.warc.gz", 0.0)
    many = [Reference("b.warc.gz", payload(number, "a.warc.gz")) for number in range(700)]
    other = Reference("d.warc.gz", payload(1, "c.warc.gz"))
    with database.change() as connection:
        insert_references(connection, [*many, other])
    with database.read() as connection:
        assert references_of(connection, ["a.warc.gz"]) == references_of(connection, ["b.warc.gz"]) == set(many)
        assert references_of(connection, [f"{number}.warc.gz" for number in range(1200)]) == set()
    assert index.referenced("b.warc.gz", many[7].payload.sha256) == PayloadPlace("a.warc.gz", 7)
    assert index.referenced("a.warc.gz", many[7].payload.sha256) is None
    kept = Reference("b2.warc.gz", payload(3, "a.warc.gz"))
    with database.change() as connection:
        change_references(connection, ReferenceChange(frozenset(many), [kept]))
    with database.read() as connection:
        assert references_of(connection, ["a.warc.gz", "c.warc.gz"]) == {kept, other}

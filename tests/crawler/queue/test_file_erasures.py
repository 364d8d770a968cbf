"""Requests to erase files of pages: which addresses they mean, and how long they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.erasures import Erasures, Selection
from lbcompanion.crawler.queue.file_erasures import FileCriteria, written_addresses

NOW = 1_795_468_200.0


@pytest.mark.parametrize(
    ("given", "url", "expected"),
    [
        ("http://www.example.com/a.css", "http://www.example.com/a.css", True),
        ("http://www.example.com/a.css#top", "http://www.example.com/a.css", True),
        ("HTTP://WWW.Example.com:80/a b.css", "http://www.example.com/a%20b.css", True),
        ("http://www.example.com/x/../a.css", "http://www.example.com/a.css", True),
        ("http://www.example.com/a.css", "http://www.example.com/a.css?v=2", False),
        ("http://www.example.com/a.css", "http://www.example.com/A.css", False),
        ("http://www.example.com/a*", "http://www.example.com/a.css?v=2", True),
        ("http://www.example.com/a*", "http://www.example.com/b/a.css", False),
        ("http://www.example.com/[*", "http://www.example.com/[x", True),
    ],
)
def test_addresses(given: str, url: str, expected: bool) -> None:
    assert FileCriteria(written_addresses([given])).matches(url) is expected


@pytest.mark.slow
def test_a_request_is_kept_until_every_file_was_searched(tmp_path: Path) -> None:
    database = Database(open_engine(f"sqlite:///{tmp_path}/q.db"))
    database.open()
    first, second = ArchiveIndex(database, "c1"), ArchiveIndex(database, "c2")
    first.new_file("a.warc.gz", NOW)
    second.new_file("b.warc.gz", NOW)
    erasures, requests = Erasures(database), first.file_erasures
    assert erasures.begin(Selection(received_before=NOW), "keep_days", NOW) == 1
    assert (requests.latest(), requests.requests()) == (0, [])
    number = erasures.begin(Selection(urls=("http://www.example.com/a.css",), before=NOW), "api", NOW)
    (request,) = requests.requests()
    assert (request.erasure, request.until, request.criteria.before) == (number, 0, NOW)
    assert (requests.latest(), requests.waiting(number)) == (number, 2)
    assert requests.unsearched() == {"a.warc.gz", "b.warc.gz"}
    requests.note(number)
    requests.note_searched("a.warc.gz", number)
    first.new_file("c.warc.gz", NOW)  # after the request is known
    assert second.file_erasures.unsearched() == {"b.warc.gz"}
    erasures.finish(NOW + 1)
    requests.forget(NOW + 1)
    assert (requests.waiting(number), len(requests.requests())) == (1, 1)
    assert erasures.entry(number)["finished_at"] is None
    second.close_files()  # it is empty: nothing to search
    erasures.finish(NOW + 2)
    requests.forget(NOW + 2)
    assert requests.requests() == []
    assert erasures.entry(number)["finished_at"] == NOW + 2
    database.close()

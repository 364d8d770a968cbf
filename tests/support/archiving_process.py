"""Archives notices as fast as it can until it is killed; run by test_files_kill with the folder as its argument."""

from __future__ import annotations

import sys
from pathlib import Path

from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.protocol.tokens import digest_of
from tests.support.arrivals import arrival

NOW = 1_795_468_200.0


def open_archive(folder: Path) -> tuple[Database, Backlog, Archive]:
    database = Database(open_engine(f"sqlite:///{folder}/q.db"))
    database.open()
    archive = Archive(folder / "archive", ArchiveIndex(database), lambda: NOW, rotate_bytes=20_000)
    archive.recover()
    return database, Backlog(database), archive


def body_of(token: str) -> bytes:
    return b"".join(digest_of(f"{token}{part}".encode()) for part in range(40))


def archive_due(backlog: Backlog, archive: Archive) -> None:
    for job in backlog.due(NOW, 1000):
        body = body_of(job.token)
        copy = FetchedCopy("n1", "http://www.example.com/", "GET", 200, "text/html", NOW, "own", digest_of(body), body)
        archive.store(job.token, copy, (), "own", ())


def main(folder: Path) -> None:
    _, backlog, archive = open_archive(folder)
    archive_due(backlog, archive)
    number = sum(backlog.counts().values())
    while True:
        backlog.add([arrival(f"t{number + each}") for each in range(3)], NOW)
        print(number + 3, flush=True)
        archive_due(backlog, archive)
        number += 3


if __name__ == "__main__":
    main(Path(sys.argv[1]))

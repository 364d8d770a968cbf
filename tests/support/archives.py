"""An archive with its backlog in a folder, and copies for it."""

from __future__ import annotations

import io
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.files import REVISIT_BYTES, Archive
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.protocol.tokens import digest_of
from tests.support.arrivals import arrival

NOW = 1_795_468_200.0


def copy(body: bytes, method: str = "GET", status: int = 200, head: PageHead | None = None) -> FetchedCopy:
    return FetchedCopy(
        "n1",
        "http://www.example.com/a?b=c",
        method,
        status,
        "text/html; charset=utf-8",
        NOW,
        "own",
        digest_of(body),
        body,
        head=head,
    )


class Place:
    def __init__(
        self,
        folder: Path,
        rotate_bytes: int = 1 << 30,
        min_free_bytes: int = 0,
        rotate_seconds: float = 0,
        queue: str = "",
        crawler: str = "crawler",
        revisit_bytes: int = REVISIT_BYTES,
    ) -> None:
        self.folder = folder
        self.now = NOW
        self.health = Health()
        self.database = Database(open_engine(queue or f"sqlite:///{folder}/q.db"))
        self.database.open()
        self.backlog = Backlog(self.database)
        self.index = ArchiveIndex(self.database, crawler)
        self.archive = Archive(
            folder / "archive",
            self.index,
            lambda: self.now,
            rotate_bytes,
            rotate_seconds,
            min_free_bytes,
            self.health,
            revisit_bytes=revisit_bytes,
        )
        self.archive.recover()

    def store(self, token: str, body: bytes, requisites: tuple[Requisite, ...] = (), **more: object) -> None:
        self.backlog.add([arrival(token)], NOW)
        self.archive.store(token, copy(body, **more), requisites, "own", ())  # type: ignore[arg-type]

    def page(self, token: str) -> bytes:
        row = self.backlog.recording(token)
        assert row is not None
        file, offset = row["warc_file"], row["warc_offset"]
        return self.archive.reader.read_page(file, offset, *self.archive.reader.locate(file, offset))

    def files(self) -> list[Path]:
        return sorted((self.folder / "archive").glob("*.warc.gz"))

    def records(self) -> list[tuple[str, str]]:
        found = []
        for file in self.files():
            for record in ArchiveIterator(io.BytesIO(file.read_bytes()), check_digests="raise"):
                record.content_stream().read()
                found.append((record.rec_type, record.rec_headers.get_header("WARC-Target-URI")))
        return found

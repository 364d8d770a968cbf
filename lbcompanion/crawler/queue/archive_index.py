"""The archive's index: the committed length of each file, and the payloads that it contains.

A page's bytes are committed in the transaction that gives its notice the outcome ``archived``.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import insert, or_, select, update

from lbcompanion.crawler.queue.backlog import dump_attempts, update_open
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.requisite_report import RequisiteReport, dump_report
from lbcompanion.crawler.queue.schema import FILES, PAYLOADS
from lbcompanion.model import Attempt, Verdict


@frozen
class ArchivedRecord:
    """An archived page: its place in the archive and its metadata.

    :ivar offset: of the page's record in the file, in bytes.
    :ivar committed: the file's length after the records of this page.
    :ivar sha256: hexadecimal digest of the body.
    :ivar payloads: requisites that the file contains for the first time: digest, URL and date.
    :ivar report: what became of the page's requisites; None if they were not asked for.
    """

    file: str
    offset: int
    committed: int
    answered_by: str
    route: str
    sha256: str
    size: int
    content_type: str
    captured_at: float
    page_url: str
    payloads: tuple[tuple[str, str, str], ...] = ()
    report: RequisiteReport | None = None


class ArchiveIndex:
    """One crawler's index, over the crawler's database.

    :param crawler: the crawler's name, which is a part of the names of its files.
    """

    def __init__(self, database: Database, crawler: str = "crawler") -> None:
        self.crawler = crawler
        self._database = database

    def new_file(self, name: str) -> None:
        """Register a file before it is created."""
        with self._database.change() as connection:
            connection.execute(insert(FILES).values(name=name, committed=0, crawler=self.crawler))

    def files(self) -> dict[str, int]:
        """Return the committed length of each file of this crawler, oldest file first.

        Files without a crawler's name are its own too: at that time a queue had a single crawler.
        """
        own = or_(FILES.c.crawler == self.crawler, FILES.c.crawler.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(select(FILES).where(own).order_by(FILES.c.id)).all()
        return {row.name: row.committed for row in rows}

    def committed(self, name: str) -> int:
        """Return the committed length of a file, after any transaction that changes it at this moment has ended.

        The answer to a commit may be lost on its way from a server: then only the server knows the length.
        """
        with self._database.change() as connection:
            query = select(FILES.c.committed).where(FILES.c.name == name).with_for_update()
            return int(connection.execute(query).scalar_one())

    def payloads(self, file: str) -> dict[str, tuple[str, str]]:
        """Return the requisites in one file: digest to URL and date."""
        with self._database.read() as connection:
            rows = connection.execute(select(PAYLOADS).where(PAYLOADS.c.file == file)).all()
        return {row.sha256: (row.url, row.date) for row in rows}

    def mark_archived(self, token: str, record: ArchivedRecord, attempts: tuple[Attempt, ...], now: float) -> None:
        """Give a notice the outcome ``archived``, and commit the archive's bytes with it.

        :raises AlreadyEnded: if it already has an outcome; the archive's bytes are not committed then.
        """
        values = {
            "outcome": Verdict.ARCHIVED.value,
            "finished_at": now,
            "attempts": dump_attempts(attempts),
            "cookies": "{}",
            "answered_by": record.answered_by,
            "route": record.route,
            "sha256": record.sha256,
            "bytes": record.size,
            "content_type": record.content_type,
            "captured_at": record.captured_at,
            "page_url": record.page_url,
            "warc_file": record.file,
            "warc_offset": record.offset,
            "requisites": None if record.report is None else dump_report(record.report),
        }
        with self._database.change() as connection:
            update_open(connection, token, values, self._database.claimant)
            connection.execute(update(FILES).where(FILES.c.name == record.file).values(committed=record.committed))
            for sha256, url, date in record.payloads:
                connection.execute(insert(PAYLOADS).values(file=record.file, sha256=sha256, url=url, date=date))

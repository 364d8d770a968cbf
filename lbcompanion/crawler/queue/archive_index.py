"""The archive's index: the committed length of each file, and the payloads that it contains.

A page's bytes are committed in the transaction that gives its notice the outcome ``archived``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.backlog import dump_attempts, update_open
from lbcompanion.crawler.queue.database import BacklogError, Database, insert_new
from lbcompanion.crawler.queue.file_erasures import FileErasures
from lbcompanion.crawler.queue.payload_places import (
    Payload,
    PayloadPlace,
    Reference,
    insert_references,
    referenced_digest,
    referenced_payload,
    references_of,
)
from lbcompanion.crawler.queue.requisite_report import RequisiteReport, dump_report
from lbcompanion.crawler.queue.schema import ARCHIVES, DOOMED_FILES, FILES, PAYLOADS, RECORDINGS, REFERENCES
from lbcompanion.crawler.queue.url_keys import url_key
from lbcompanion.model import Attempt, Verdict, to_rfc3339
from lbcompanion.protocol.removed_parts import RemovedParts

#: The number of files in which the last archived pages are looked for.
_NEWEST_FILES = 2
# Made once: to make a statement takes SQLAlchemy longer than to run it.
_SET_COMMITTED = update(FILES).where(FILES.c.name == bindparam("the_file"))


@frozen
class ArchivedRecord:
    """An archived page: its place in the archive and its metadata.

    :ivar offset: of the page's record in the file, in bytes.
    :ivar committed: the file's length after the records of this page.
    :ivar sha256: hexadecimal digest of the body.
    :ivar payloads: requisites that the file contains for the first time.
    :ivar references: payloads of other files to which the file refers for the first time.
    :ivar report: what became of the page's requisites; None if they were not asked for.
    :ivar title: the page's title; empty if it has none.
    :ivar status: the status of the application's response; 0 if it is not known.
    :ivar method: the method of the visitor's request; empty if it is not known.
    :ivar removed: how many parts of the page the copy lacks; None if it is not known.
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
    payloads: tuple[Payload, ...] = ()
    references: tuple[Payload, ...] = ()
    report: RequisiteReport | None = None
    title: str = ""
    status: int = 0
    method: str = ""
    removed: RemovedParts | None = None


@frozen
class ArchivedPage:
    """A page whose copy may still be at its node."""

    token: str
    site: str
    owner: str


class FileState(StrEnum):
    """The state of an archive file."""

    OPEN = "open"
    CLOSED = "closed"
    UPLOADED = "uploaded"


# Files of an earlier version have no state.
_IS_OPEN = or_(FILES.c.state == FileState.OPEN, FILES.c.state.is_(None))


@frozen
class ArchiveFile:
    """A file of the archive.

    :ivar committed: its length in bytes; on disk it may be longer after a crash.
    :ivar state: None if an earlier version wrote the file.
    :ivar opened_at: when it was started, in seconds since the epoch; 0 if an earlier version wrote the file.
    :ivar place: the object store that has the file; empty while it is on this crawler's disk.
    :ivar crawler: the name of the crawler that writes it; empty if an earlier version wrote the file.
    """

    name: str
    committed: int
    state: FileState | None = None
    opened_at: float = 0.0
    place: str = ""
    crawler: str = ""


class ArchiveIndex:
    """One crawler's index, over the crawler's database.

    :param crawler: the crawler's name, which is a part of the names of its files.
    :ivar file_erasures: the requests to erase files of pages.
    """

    def __init__(self, database: Database, crawler: str = "crawler") -> None:
        self.crawler = crawler
        self.file_erasures = FileErasures(database)
        self._database = database
        #: The committed ends of files that are written at the end of a block of :meth:`gathered`; None: outside of one.
        self._ends: dict[str, int] | None = None

    def mark(self) -> str:
        """Return the mark of this crawler's archive, or an empty text; ``crawler.archive.archive_mark`` explains it."""
        with self._database.read() as connection:
            return str(connection.execute(select(ARCHIVES.c.mark).where(self._own_mark())).scalar() or "")

    def set_mark(self, mark: str) -> None:
        """Store another mark."""
        with self._database.change() as connection:
            if connection.execute(update(ARCHIVES).where(self._own_mark()).values(mark=mark)).rowcount == 0:
                connection.execute(insert(ARCHIVES).values(crawler=self.crawler, mark=mark))

    def _own_mark(self) -> ColumnElement[bool]:
        return ARCHIVES.c.crawler == self.crawler

    def new_file(self, name: str, now: float) -> None:
        """Register a file before it is created, and close the files before it."""
        with self._database.change() as connection:
            self._close_open(connection)
            values = {"name": name, "committed": 0, "crawler": self.crawler, "state": FileState.OPEN, "opened_at": now}
            connection.execute(insert(FILES).values(**values, searched=self.file_erasures.known))

    def forget_empty_file(self, name: str) -> None:
        """Forget a file of this crawler that was registered but never created."""
        never_written = FILES.c.name == name, FILES.c.committed == 0, self.is_own()
        with self._database.change() as connection:
            connection.execute(delete(FILES).where(*never_written))

    def extend(self, name: str, committed: int) -> None:
        """Commit records of a file that no recording has."""
        with self._database.change() as connection:
            connection.execute(update(FILES).where(FILES.c.name == name).values(committed=committed))

    def close_files(self) -> None:
        """Close this crawler's open files: no record is appended to them any more."""
        with self._database.change() as connection:
            self._close_open(connection)

    def _close_open(self, connection: Connection) -> None:
        connection.execute(update(FILES).where(self.is_own(), _IS_OPEN).values(state=FileState.CLOSED))

    def is_own(self) -> ColumnElement[bool]:
        """Return the condition that a row of the table of files is one of this crawler."""
        # Files without a crawler's name are its own too: at that time a queue had a single crawler.
        return or_(FILES.c.crawler == self.crawler, FILES.c.crawler.is_(None))

    def files(self) -> dict[str, int]:
        """Return the committed length of each file of this crawler, oldest file first."""
        return {file.name: file.committed for file in self.own_files()}

    def used_names(self) -> frozenset[str]:
        """Return the names of this crawler's files, and of its former files that still have to be removed."""
        query = select(DOOMED_FILES.c.name).where(DOOMED_FILES.c.crawler == self.crawler)
        with self._database.read() as connection:
            doomed = connection.execute(query).scalars().all()
        return frozenset(self.files()) | frozenset(doomed)

    def own_files(self) -> list[ArchiveFile]:
        """Return the files of this crawler, oldest file first."""
        return self._select(self.is_own())

    def closed_files(self) -> list[ArchiveFile]:
        """Return this crawler's files that are closed, not empty and not uploaded, oldest file first."""
        return self._select(self.is_own(), FILES.c.state == FileState.CLOSED, FILES.c.committed > 0)

    def file(self, name: str) -> ArchiveFile | None:
        """Return one file, of any crawler; None if there is no such file."""
        return next(iter(self._select(FILES.c.name == name)), None)

    def _select(self, *conditions: ColumnElement[bool]) -> list[ArchiveFile]:
        with self._database.read() as connection:
            rows = connection.execute(select(FILES).where(*conditions).order_by(FILES.c.id)).all()
        return [
            ArchiveFile(
                name=row.name,
                committed=row.committed,
                state=FileState(row.state) if row.state else None,
                opened_at=row.opened_at or 0.0,
                place=row.place or "",
                crawler=row.crawler or "",
            )
            for row in rows
        ]

    def mark_uploaded(self, file: ArchiveFile, place: str, size: int | None = None) -> bool:
        """Record that an object store has a whole file; return False if the file was changed since it was read.

        :param size: its length there, if that is more than the queue knew.
        """
        unchanged = (FILES.c.name == file.name, FILES.c.committed == file.committed)
        with self._database.change() as connection:
            values: dict[str, Any] = {"state": FileState.UPLOADED, "place": place}
            if size is not None:
                values["committed"] = size
            return connection.execute(update(FILES).where(*unchanged).values(values)).rowcount == 1

    def keep_lost_file(self, name: str, committed: int, opened_at: float) -> None:
        """Register a file again, closed, whose row the database has lost. A second call does nothing."""
        values = {"name": name, "committed": committed, "crawler": self.crawler, "state": FileState.CLOSED}
        with self._database.change() as connection:
            insert_new(connection, FILES, [values | {"opened_at": opened_at, "searched": 0}])

    def committed(self, name: str) -> int | None:
        """Return the committed length of an open file, after any transaction that changes it at this moment has ended.

        The answer to a commit may be lost on its way from a server: then only the server knows the length. None: the
        database has lost the file's row, or has it again only because of :meth:`keep_lost_file`.
        """
        with self._database.change() as connection:
            query = select(FILES.c.committed).where(FILES.c.name == name, _IS_OPEN).with_for_update()
            found = connection.execute(query).scalar()
            return None if found is None else int(found)

    def recent_files(self, most_bytes: int, least_size: int) -> list[str]:
        """Return the newest files of this crawler that are not open, newest first.

        Files with records that an erasure removes are left out.

        :param most_bytes: how long they may be in all; a file that would exceed this ends the list.
        :param least_size: what a shorter file counts as.
        """
        waiting = select(RECORDINGS.c.warc_file.concat("")).where(RECORDINGS.c.erasure > 0).distinct()
        is_closed = FILES.c.state.in_([FileState.CLOSED, FileState.UPLOADED])
        query = select(FILES.c.name, FILES.c.committed).where(self.is_own(), is_closed).order_by(FILES.c.id.desc())
        chosen: list[str] = []
        with self._database.read() as connection:
            left_out = set(connection.execute(waiting).scalars())
            for name, committed in connection.execute(query.limit(most_bytes // least_size + 1)).all():
                most_bytes -= max(committed, least_size)
                if most_bytes < 0:
                    break
                chosen.append(name)
        return [name for name in chosen if name not in left_out]

    def first_pages(self, file: str, limit: int) -> list[Payload]:
        """Return the pages in a file that have their bytes in their own record, of pages with the same bytes the first.

        :param limit: how many of them, the latest, in the order of their records.
        """
        columns = RECORDINGS.c
        firsts = (
            select(func.min(columns.warc_offset).label("offset"))
            .where(columns.warc_file == file, columns.erasure.is_(None))
            .group_by(columns.sha256)
            .order_by(func.min(columns.warc_offset).desc())
            .limit(limit)
            .subquery()
        )
        # The record of a page whose bytes are in another record is a revisit.
        in_other_file = select(REFERENCES.c.sha256).where(REFERENCES.c.file == file)
        query = (
            select(columns.sha256, columns.page_url, columns.captured_at, columns.warc_offset)
            .join(firsts, columns.warc_offset == firsts.c.offset)
            .where(columns.warc_file == file, columns.captured_at.is_not(None), columns.sha256.not_in(in_other_file))
            .order_by(columns.warc_offset)
        )
        with self._database.read() as connection:
            return [
                Payload(row.sha256, row.page_url, to_rfc3339(row.captured_at), file, row.warc_offset)
                for row in connection.execute(query).all()
            ]

    def same_pages(self, file: str, offset: int) -> list[PayloadPlace]:
        """Return where the bytes of the page at an offset may be: in another file, or in earlier records of its own."""
        same = RECORDINGS.alias("same")
        query = (
            select(same.c.warc_offset)
            .join(RECORDINGS, (RECORDINGS.c.warc_file == same.c.warc_file) & (RECORDINGS.c.sha256 == same.c.sha256))
            .where(RECORDINGS.c.warc_file == file, RECORDINGS.c.warc_offset == offset, same.c.warc_offset < offset)
            .order_by(same.c.warc_offset)
        )
        with self._database.read() as connection:
            elsewhere = referenced_payload(connection, file, offset)
            own = [PayloadPlace(file, each) for each in connection.execute(query).scalars()]
        return own if elsewhere is None else [elsewhere, *own]

    def referenced(self, file: str, sha256: str) -> PayloadPlace | None:
        """Return where a payload is to which revisits of a file refer in another file; None: there are no such."""
        with self._database.read() as connection:
            return referenced_digest(connection, file, sha256)

    def payloads(self, file: str) -> dict[str, Payload]:
        """Return the requisites in one file by their digests. The offset of those of earlier versions is -1."""
        with self._database.read() as connection:
            rows = connection.execute(select(PAYLOADS).where(PAYLOADS.c.file == file)).all()
        return {
            row.sha256: Payload(row.sha256, row.url, row.date, file, -1 if row.warc_offset is None else row.warc_offset)
            for row in rows
        }

    def last_archived(self, seconds: float, limit: int) -> list[ArchivedPage]:
        """Return the pages that this crawler archived last.

        :param seconds: how long before the last one.
        """
        columns = RECORDINGS.c
        own = columns.outcome == Verdict.ARCHIVED.value, columns.erasure.is_(None), *self._is_in_newest_files()
        query = select(columns.token, columns.site, columns.origin_node, columns.finished_at).where(*own)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(columns.finished_at.desc()).limit(limit)).all()
        last = max((row.finished_at for row in rows), default=0.0)
        return [ArchivedPage(row.token, row.site, row.origin_node) for row in rows if row.finished_at >= last - seconds]

    def _is_in_newest_files(self) -> tuple[ColumnElement[bool]]:
        with self._database.read() as connection:
            newest = select(FILES.c.name).where(self.is_own()).order_by(FILES.c.id.desc()).limit(_NEWEST_FILES)
            return (RECORDINGS.c.warc_file.in_(list(connection.execute(newest).scalars())),)

    def references(self, file: str) -> dict[str, Payload]:
        """Return the payloads of other files to which a file refers, by their digests."""
        with self._database.read() as connection:
            found = references_of(connection, [file])
        return {each.payload.sha256: each.payload for each in found if each.file == file}

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """One transaction for several pages; see :meth:`Database.gathered`. A file's end is written once for all."""
        with self._database.gathered():
            ends: dict[str, int] = {}
            self._ends = ends
            try:
                yield
            finally:
                self._ends = None
            with self._database.change() as connection:
                for file, committed in ends.items():
                    _set_committed(connection, file, committed)

    def mark_archived(self, token: str, record: ArchivedRecord, attempts: tuple[Attempt, ...], now: float) -> None:
        """Give a notice the outcome ``archived``, and commit the archive's bytes with it.

        :raises AlreadyEnded: if it already has an outcome; the archive's bytes are not committed then.
        """
        values: dict[str, Any] = {
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
            "title": record.title or None,
            "title_key": record.title.casefold() or None,
            "status": record.status or None,
            "method": record.method or None,
            "removed": None if record.removed is None else str(record.removed),
        }
        if record.page_url:
            values["url_key"] = url_key(record.page_url)
        with self._database.change() as connection:
            update_open(connection, token, values, self._database.claimant)
            if self._ends is None:
                _set_committed(connection, record.file, record.committed)
            else:
                self._ends[record.file] = record.committed
            if record.payloads:
                rows = [
                    {"file": record.file, "sha256": each.sha256, "url": each.url, "date": each.date}
                    | {"warc_offset": each.offset}
                    for each in record.payloads
                ]
                connection.execute(insert(PAYLOADS), rows)
            if record.references:
                _check_files(connection, {each.file for each in record.references})
                insert_references(connection, [Reference(record.file, each) for each in record.references])


def _set_committed(connection: Connection, file: str, committed: int) -> None:
    """Commit the bytes of a file.

    :raises BacklogError: if the database does not know the file: a recording must not refer to it.
    """
    if connection.execute(_SET_COMMITTED, {"the_file": file, "committed": committed}).rowcount != 1:
        raise BacklogError("the queue's database has lost the archive file of the page")


def _check_files(connection: Connection, names: set[str]) -> None:
    """Make sure that files to which a page refers are not replaced before the page is committed.

    :raises BacklogError: if one was replaced already; the page is then written in full.
    """
    query = select(FILES.c.name).where(FILES.c.name.in_(sorted(names))).with_for_update(read=True)
    if len(connection.execute(query).all()) != len(names):
        raise BacklogError("an archive file to which the page refers was replaced meanwhile")

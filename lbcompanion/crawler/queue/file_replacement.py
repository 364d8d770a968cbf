"""Replacing archive files in the index: the rows follow their records into the new file, in one transaction.

A file is never changed in place. Its successor has another name, which is put on the list of doomed files before the
file is created: the files to be removed. The transaction that moves the rows takes the new name off that list, and puts
the old name on it. So after any crash each row names a file with its record, and all other files are on the list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import field, frozen
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.archive_index import ArchiveFile, ArchiveIndex, FileState
from lbcompanion.crawler.queue.database import BacklogError, Database
from lbcompanion.crawler.queue.payload_places import (
    Reference,
    ReferenceChange,
    change_references,
    references_of,
)
from lbcompanion.crawler.queue.requisite_report import without_erased
from lbcompanion.crawler.queue.schema import DOOMED_FILES, ERASURES, FILES, LEFT_COPIES, PAYLOADS, RECORDINGS


@frozen
class FileRow:
    """A recording whose record is in a file.

    :ivar erasure: the erasure that removes it; None: it stays.
    """

    id: int
    offset: int
    erasure: int | None


@frozen
class MovedPayload:
    """The record that has a payload now, after its first record was removed."""

    file: str
    sha256: str
    url: str
    date: str
    offset: int = -1


@frozen
class Replacement:
    """A file and its successor.

    :ivar new: the successor's name; empty if nothing remains; the same as ``old`` if the file is missing.
    :ivar committed: the successor's length.
    :ivar offsets: the recordings that stay, with the offsets of their records in the successor.
    :ivar erased: the recordings without records in the new file.
    :ivar removed_payloads: digest and URL of the payloads whose first records are gone.
    :ivar records: how many records are gone, by erasure.
    :ivar freed: by how many bytes the file became shorter.
    :ivar place: the object store that may have the old file; empty: none.
    :ivar searched: the last erasure of files whose records the successor lacks; None: as before.
    :ivar erased_files: how many files were erased from each recording that stays, by the recording's number.
    :ivar moved_to: returns the new offset of a record that stays.
    """

    old: str
    new: str
    committed: int
    offsets: Mapping[int, int] = field(repr=False)
    erased: Sequence[int] = field(repr=False)
    removed_payloads: Sequence[tuple[str, str]] = field(default=(), repr=False)
    records: Mapping[int, int] = field(factory=dict)
    freed: int = 0
    place: str = ""
    searched: int | None = None
    erased_files: Mapping[int, int] = field(factory=dict)
    moved_to: Callable[[int], int] = field(default=int, repr=False, eq=False)


class FileReplacements:
    """The replacements of one crawler's files, over the crawler's database.

    :param index: knows the crawler's files.
    """

    def __init__(self, database: Database, index: ArchiveIndex) -> None:
        self._database = database
        self._index = index
        self._crawler = index.crawler

    def files(self) -> dict[str, ArchiveFile]:
        """Return the files of this crawler by their names, oldest file first."""
        return {file.name: file for file in self._index.own_files()}

    def waiting_files(self) -> list[str]:
        """Return the files of this crawler that have, or may have, records that an erasure removes, oldest first."""
        # As an expression, so that SQLite reads the index of the marked rows, and not that of all files' names.
        name = RECORDINGS.c.warc_file.concat("")
        query = select(name).where(RECORDINGS.c.erasure > 0).distinct()
        with self._database.read() as connection:
            waiting = set(connection.execute(query).scalars())
        waiting |= self._index.file_erasures.unsearched()
        return [name for name in self._index.files() if name in waiting]

    def rows(self, file: str) -> list[FileRow]:
        """Return the recordings with records in a file, in the order of their records."""
        columns = RECORDINGS.c.id, RECORDINGS.c.warc_offset, RECORDINGS.c.erasure
        query = select(*columns).where(RECORDINGS.c.warc_file == file).order_by(RECORDINGS.c.warc_offset)
        with self._database.read() as connection:
            return [FileRow(row.id, row.warc_offset, row.erasure) for row in connection.execute(query).all()]

    def references(self, files: Collection[str]) -> frozenset[Reference]:
        """Return the references between archive files, from or to some files."""
        with self._database.read() as connection:
            return references_of(connection, files)

    def doom(self, name: str) -> None:
        """Enter the name of a file that does not count yet, before it is created."""
        with self._database.change() as connection:
            _doom(connection, name, self._crawler)

    def doomed(self) -> dict[str, str]:
        """Return the files that this crawler has to remove: the names, and the object stores that may have them."""
        query = select(DOOMED_FILES).where(DOOMED_FILES.c.crawler == self._crawler)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(DOOMED_FILES.c.name)).all()
        return {row.name: row.place for row in rows}

    def removed(self, name: str) -> None:
        """Note that a file is removed."""
        with self._database.change() as connection:
            connection.execute(delete(DOOMED_FILES).where(DOOMED_FILES.c.name == name))

    def left_copies(self) -> list[str]:
        """Return the files that were taken over from this crawler; their copies on its disk have to be removed."""
        query = select(LEFT_COPIES.c.name).where(LEFT_COPIES.c.crawler == self._crawler)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(LEFT_COPIES.c.name)).scalars())

    def copy_removed(self, name: str) -> None:
        """Note that the copy of a file that was taken over is removed."""
        with self._database.change() as connection:
            own = LEFT_COPIES.c.name == name, LEFT_COPIES.c.crawler == self._crawler
            connection.execute(delete(LEFT_COPIES).where(*own))

    def replace(
        self,
        replacements: Sequence[Replacement],
        moved_payloads: Iterable[MovedPayload] = (),
        references: ReferenceChange | None = None,
    ) -> None:
        """Replace files, in one transaction.

        :param moved_payloads: the records that got the payloads of removed ones.
        :param references: how the references from and to these files change; None if there are no references.
        :raises BacklogError: if it failed, if the files have other recordings or references than they had, or if
            another crawler has taken over one of them; nothing is changed then.
        """
        references = references or ReferenceChange()
        with self._database.change() as connection:
            if references_of(connection, [each.old for each in replacements]) != references.before:
                raise BacklogError("further files refer to an archive file that was rewritten")
            for each in replacements:
                self._check_owner(connection, each.old)
                _check_rows(connection, each)
                _replace(connection, each, self._crawler)
            for moved in moved_payloads:
                where = PAYLOADS.c.file == moved.file, PAYLOADS.c.sha256 == moved.sha256
                connection.execute(delete(PAYLOADS).where(*where))
                values = {"file": moved.file, "sha256": moved.sha256, "url": moved.url, "date": moved.date}
                offset = {"warc_offset": moved.offset if moved.offset >= 0 else None}
                connection.execute(insert(PAYLOADS).values({**values, **offset}))
            change_references(connection, references)

    def _check_owner(self, connection: Connection, name: str) -> None:
        query = select(FILES.c.name).where(FILES.c.name == name, self._index.is_own()).with_for_update()
        if connection.execute(query).first() is None:
            raise BacklogError(f"archive file {name} belongs to another crawler now")


def _doom(connection: Connection, name: str, crawler: str, place: str = "") -> None:
    if connection.execute(select(DOOMED_FILES).where(DOOMED_FILES.c.name == name)).first() is None:
        connection.execute(insert(DOOMED_FILES).values(name=name, crawler=crawler, place=place))


def _check_rows(connection: Connection, each: Replacement) -> None:
    found = connection.execute(
        select(func.count()).select_from(RECORDINGS).where(RECORDINGS.c.warc_file == each.old)
    ).scalar()
    if found != len(each.offsets) + len(each.erased):
        raise BacklogError(f"archive file {each.old} got further recordings while it was rewritten")


def _replace(connection: Connection, each: Replacement, crawler: str) -> None:
    if each.erased:
        connection.execute(delete(RECORDINGS).where(RECORDINGS.c.id == bindparam("row")), _rows(each.erased))
    if each.offsets:
        moved = update(RECORDINGS).where(RECORDINGS.c.id == bindparam("row"))
        values = moved.values(warc_file=each.new, warc_offset=bindparam("new_offset"))
        connection.execute(values, [{"row": row, "new_offset": offset} for row, offset in each.offsets.items()])
    for row, count in each.erased_files.items():
        _note_erased_files(connection, row, count)
    for sha256, url in each.removed_payloads:
        where = PAYLOADS.c.file == each.old, PAYLOADS.c.sha256 == sha256, PAYLOADS.c.url == url
        connection.execute(delete(PAYLOADS).where(*where))
    if each.new:
        _move_payloads(connection, each)
        if each.new != each.old:
            values_of_file = {"name": each.new, "committed": each.committed, "state": FileState.CLOSED, "place": None}
            if each.searched is not None:
                values_of_file["searched"] = each.searched
            connection.execute(update(FILES).where(FILES.c.name == each.old).values(values_of_file))
            connection.execute(delete(DOOMED_FILES).where(DOOMED_FILES.c.name == each.new))
    else:
        connection.execute(delete(PAYLOADS).where(PAYLOADS.c.file == each.old))
        connection.execute(delete(FILES).where(FILES.c.name == each.old))
    if each.new != each.old:
        _doom(connection, each.old, crawler, each.place)
    for erasure, records in each.records.items():
        counts = {ERASURES.c.records: ERASURES.c.records + records, ERASURES.c.files: ERASURES.c.files + 1}
        connection.execute(update(ERASURES).where(ERASURES.c.id == erasure).values(counts))
    if each.records:
        last = max(each.records)
        freed = {ERASURES.c.bytes: ERASURES.c.bytes + each.freed}
        connection.execute(update(ERASURES).where(ERASURES.c.id == last).values(freed))


def _note_erased_files(connection: Connection, row: int, count: int) -> None:
    report = connection.execute(select(RECORDINGS.c.requisites).where(RECORDINGS.c.id == row)).scalar()
    if report:
        values = {"requisites": without_erased(report, count)}
        connection.execute(update(RECORDINGS).where(RECORDINGS.c.id == row).values(values))


def _move_payloads(connection: Connection, each: Replacement) -> None:
    known = PAYLOADS.c.file == each.old, PAYLOADS.c.warc_offset.is_not(None)
    rows = connection.execute(select(PAYLOADS.c.sha256, PAYLOADS.c.warc_offset).where(*known)).all()
    if rows:
        row = PAYLOADS.c.file == each.old, PAYLOADS.c.sha256 == bindparam("the_digest")
        moved = update(PAYLOADS).where(*row).values(warc_offset=bindparam("new_offset"))
        connection.execute(moved, [{"the_digest": row[0], "new_offset": each.moved_to(row[1])} for row in rows])
    connection.execute(update(PAYLOADS).where(PAYLOADS.c.file == each.old).values(file=each.new))


def _rows(ids: Sequence[int]) -> list[dict[str, int]]:
    return [{"row": each} for each in ids]

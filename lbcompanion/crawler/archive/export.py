"""Copies archived pages, with their files, into one new WARC or WACZ file that needs no other file.

Records are copied as they are. A revisit whose payload is not among the copied records gets the payload itself, so that
a selection of pages is complete, and has no record of a page that was not selected.
"""

from __future__ import annotations

import os
import tempfile
from base64 import b32decode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attrs import evolve, field, frozen
from sqlalchemy import ColumnElement, Connection, func, select

from lbcompanion import __version__
from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.warc_reader import (
    StoredRecord,
    UnreadableRecord,
    raw_record,
    read_record,
    records_with_payloads,
    stored_records,
)
from lbcompanion.crawler.archive.warc_records import info_record, redirected_revisit, response_of_revisit
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.filters import Filters, conditions
from lbcompanion.crawler.queue.payload_places import referenced_digest
from lbcompanion.crawler.queue.schema import FILES, PAYLOADS, RECORDINGS
from lbcompanion.errors import CompanionError
from lbcompanion.model import Verdict
from lbcompanion.protocol import headers

_REWRITTEN = "an erasure has rewritten or removed the file meanwhile; export again"
_NODE_FIELD = headers.NODE.text.lower()


class ExportFailed(CompanionError):
    """The pages could not be exported; the text says why."""


@frozen
class PageRecords:
    """The records of one page in the new file.

    :ivar page: the page's record, with its offset in the new file.
    :ivar records: this and the others, in their order.
    :ivar body: the page's payload.
    """

    page: StoredRecord
    records: tuple[StoredRecord, ...]
    body: bytes = field(repr=False)

    @property
    def method(self) -> str:
        """The method of the visitor's request for the page."""
        requests = (each for each in self.records if each.fields.get("warc-concurrent-to") == self.page.record_id)
        return next((each.method for each in requests if each.kind == "request"), "GET")


class Export:
    """One export.

    :param reader: of the archive.
    :param filters: which archived pages are exported.
    """

    def __init__(self, database: Database, reader: ArchiveReader, filters: Filters) -> None:
        self._database = database
        self._reader = reader
        self._filters = filters
        #: The digest of a payload -> the address and the date of its record in the new file.
        self._exported: dict[str, tuple[str, str]] = {}
        self._offsets: dict[str, dict[str, int]] = {}
        self._end = 0

    def write_warc(self, out: BinaryIO, name: str) -> Iterator[PageRecords]:
        """Write the pages into a WARC file, and return each page when it is written.

        :param name: of the new file, for its first record.
        :raises ExportFailed: if a page cannot be read.
        """
        self._write(out, info_record(name, f"lbcompanion/{__version__}"))
        for file, place in self._files():
            try:
                with self._reader.opened(file, place) as stream:
                    offsets = self._offsets_of_pages(file)
                    if not offsets:
                        raise ExportFailed(f"{file}: {_REWRITTEN}")
                    for offset in offsets:
                        yield self._copy_page(stream, file, offset, out)
            except (ArchiveError, UnreadableRecord) as failure:
                is_there = any(name == file for name, _place in self._files())
                raise ExportFailed(f"{file}: {failure if is_there else _REWRITTEN}") from None

    def viewed_between(self) -> tuple[float, float] | None:
        """Return when the first and the last page was viewed; None if no page fulfils the conditions."""
        with self._database.read() as connection:
            query = select(func.min(RECORDINGS.c.viewed_at), func.max(RECORDINGS.c.viewed_at))
            first, last = connection.execute(query.where(*self._wanted(connection))).one()
            return None if first is None else (first, last)

    def _files(self) -> list[tuple[str, str]]:
        with self._database.read() as connection:
            names = select(RECORDINGS.c.warc_file).where(*self._wanted(connection))
            query = select(FILES.c.name, FILES.c.place).where(FILES.c.name.in_(names)).order_by(FILES.c.id)
            return [(name, place or "") for name, place in connection.execute(query).all()]

    def _wanted(self, connection: Connection) -> list[ColumnElement[bool]]:
        # An erased page's records may still wait to be removed from the archive; these conditions leave it out.
        is_archived = RECORDINGS.c.outcome == Verdict.ARCHIVED.value
        return [is_archived, *conditions(self._filters, connection.dialect.name)]

    def _offsets_of_pages(self, file: str) -> list[int]:
        with self._database.read() as connection:
            wanted = (RECORDINGS.c.warc_file == file, *self._wanted(connection))
            query = select(RECORDINGS.c.warc_offset).where(*wanted).order_by(RECORDINGS.c.warc_offset)
            return list(connection.execute(query).scalars())

    def _copy_page(self, stream: BinaryIO, file: str, offset: int, out: BinaryIO) -> PageRecords:
        copied: list[StoredRecord] = []
        body = b""
        for record, payload in records_with_payloads(stream, offset):
            if record.offset == offset:
                body = self._payload(file, record) if record.kind == "revisit" else payload
            elif not belongs_to_page_before(record):
                break
            copied.append(self._copy(stream, file, record, out))
        if not copied:
            raise ExportFailed(f"{file}: no page is at byte {offset}")
        return PageRecords(copied[0], tuple(copied), body)

    def _copy(self, stream: BinaryIO, file: str, record: StoredRecord, out: BinaryIO) -> StoredRecord:
        """Copy one record, and return it as it is in the new file."""
        data = raw_record(stream, record)
        if record.kind == "revisit":
            changed = self._complete(file, record, data)
            if changed is not data:
                data, record = changed, read_record(BytesIO(changed), 0)[0]
        if record.kind == "response":
            self._exported.setdefault(record.payload_digest, (record.url, record.date))
        return evolve(record, offset=self._write(out, data), length=len(data))

    def _write(self, out: BinaryIO, data: bytes) -> int:
        at, self._end = self._end, self._end + len(data)
        try:
            out.write(data)
        except OSError as failure:
            # The caller has an archive file open, and would report that file as unreadable.
            raise ExportFailed(f"the new file cannot be written: {failure.strerror}") from None
        return at

    def _complete(self, file: str, record: StoredRecord, data: bytes) -> bytes:
        """Return a revisit that refers to a record of the new file, or a response in its place."""
        refers_to = (record.fields.get("warc-refers-to-target-uri", ""), record.fields.get("warc-refers-to-date", ""))
        first = self._exported.get(record.payload_digest)
        if first is None:
            return response_of_revisit(data, self._payload(file, record))
        return data if first == refers_to else redirected_revisit(data, *first)

    def _payload(self, file: str, record: StoredRecord) -> bytes:
        """Return the payload of a revisit: from its own file, or from another one."""
        elsewhere = self._referenced(file, record)
        if elsewhere is not None:
            return elsewhere
        for name, place in ((file, None), *self._files_with(record.payload_digest)):
            where = self._reader.place_of(name) if place is None else place
            with self._reader.opened(name, where) as stream:
                if name not in self._offsets:
                    self._offsets[name] = _offsets_of_payloads(stream)
                offset = self._offsets[name].get(record.payload_digest)
                if offset is not None:
                    return read_record(stream, offset)[1]
        raise ExportFailed(f"{file}: the payload of {record.url} is missing ({record.payload_digest})")

    def _referenced(self, file: str, record: StoredRecord) -> bytes | None:
        """Return the payload of a revisit whose file refers to another one; None: the file itself may have it."""
        with self._database.read() as connection:
            found = referenced_digest(connection, file, hex_digest(record.payload_digest))
        if found is None:
            return None
        with self._reader.opened(found.file, found.place) as stream:
            target, payload = read_record(stream, found.offset)
        is_same = target.kind == "response" and target.payload_digest == record.payload_digest
        return payload if is_same else None

    def _files_with(self, payload_digest: str) -> list[tuple[str, str]]:
        query = select(FILES.c.name, FILES.c.place).join(PAYLOADS, PAYLOADS.c.file == FILES.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query.where(PAYLOADS.c.sha256 == hex_digest(payload_digest))).all()
        return [(name, place or "") for name, place in rows]


def belongs_to_page_before(record: StoredRecord) -> bool:
    """Whether a record is a page's request or one of its files; only a page's own record names the node."""
    return record.kind in ("request", "response", "revisit") and _NODE_FIELD not in record.fields


def _offsets_of_payloads(stream: BinaryIO) -> dict[str, int]:
    """The offset of each payload of a file, by digest."""
    stream.seek(0)
    found: dict[str, int] = {}
    for record in stored_records(stream):
        if record.kind == "response":
            found.setdefault(record.payload_digest, record.offset)
    return found


def hex_digest(warc_digest: str) -> str:
    """Return the hexadecimal form of a digest in WARC's form; empty if it is not SHA-256 in base32."""
    try:
        return b32decode(warc_digest.removeprefix("sha256:")).hex()
    except ValueError:
        return ""


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name when it is whole, readable by its owner only.

    :raises ExportFailed: if there is such a file already, or it cannot be written.
    """
    if path.exists():
        raise ExportFailed(f"{path} is there already; remove it, or name another file")
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except OSError as failure:
        raise ExportFailed(f"{path} cannot be written: {failure.strerror}") from None

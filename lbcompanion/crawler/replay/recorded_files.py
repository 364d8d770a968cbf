"""The records of one recording in its archive file: the page's own, and those of the files that it was archived with.

They follow one another; the next page's record begins the next recording. Reading them takes as long as reading the
page's files, so what was found is kept. Everything here blocks, but needs no database.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from threading import Lock
from types import MappingProxyType
from typing import BinaryIO

from attrs import field, frozen

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.export import belongs_to_page_before
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.warc_reader import (
    StoredRecord,
    UnreadableRecord,
    raw_record,
    read_record,
    records_with_payloads,
)

#: How many recordings' files are known at a time, and the places of how many payloads; some 10 MB of memory.
_MAX_KNOWN, _MAX_PLACES = 100, 20_000


@frozen
class FileRecord:
    """The record of a file of a page.

    :ivar kind: ``response``, or ``revisit``, whose payload is in an earlier record.
    :ivar first_date: of a revisit, the date of the record that has its payload; else empty.
    """

    offset: int
    url: str
    kind: str
    content_type: str
    digest: str
    size: int
    first_date: str = ""


@frozen
class Recorded:
    """The records of one recording.

    :ivar page: the page's record.
    :ivar files: by URL.
    """

    place: str
    file: str
    page: StoredRecord
    files: Mapping[str, FileRecord] = field(repr=False)

    @property
    def content_type(self) -> str:
        """The ``Content-Type`` of the page's own head."""
        return self.page.http_fields.get("content-type", "")


class RecordedFiles:
    """Reads the records of recordings.

    :param reader: of the archive.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._lock = Lock()  # two threads read
        self._known: dict[tuple[str, int], Recorded] = {}
        self._places: dict[tuple[str, str], int] = {}

    def read(self, file: str, offset: int, place: str) -> Recorded:
        """Return what belongs to the page at an offset of an archive file.

        :param place: from :meth:`ArchiveReader.place_of`.
        :raises ArchiveError: if it cannot be read.
        """
        known = self._known.get((file, offset))
        if known is not None and known.place == place:
            return known
        with self._reader.opened(file, place) as stream:
            try:
                found = self._read(stream, file, offset, place)
            except UnreadableRecord as failure:
                raise ArchiveError(f"the record cannot be read: {failure}") from None
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[file, offset] = found
        return found

    def _read(self, stream: BinaryIO, file: str, offset: int, place: str) -> Recorded:
        page: StoredRecord | None = None
        files: dict[str, FileRecord] = {}
        for record, payload in records_with_payloads(stream, offset):
            if page is None:
                page = record
            elif not belongs_to_page_before(record):
                break
            elif record.kind in ("response", "revisit"):
                files.setdefault(record.url, _file_record(record, len(payload)))
        if page is None:
            raise UnreadableRecord(f"the file ends before byte {offset}")
        return Recorded(place, file, page, MappingProxyType(files))

    def body(self, recorded: Recorded, file: FileRecord, pages: Sequence[int] = ()) -> bytes:
        """Return the payload of a file.

        :param pages: the offsets of pages of the archive file whose records may have the payload of a revisit. If they
            do not, the whole archive file is searched.
        :raises ArchiveError: if it cannot be read.
        """
        with self._reader.opened(recorded.file, recorded.place) as stream:
            try:
                if file.kind == "response":
                    return read_record(stream, file.offset)[1]
                return self._revisited(stream, recorded.file, file.digest, pages)
            except UnreadableRecord as failure:
                raise ArchiveError(f"the record cannot be read: {failure}") from None

    def _revisited(self, stream: BinaryIO, name: str, digest: str, pages: Sequence[int]) -> bytes:
        known = self._places.get((name, digest))
        if known is not None:
            return read_record(stream, known)[1]
        for page in pages:
            for record, payload in records_with_payloads(stream, page):
                if record.offset != page and not belongs_to_page_before(record):
                    break
                if record.kind == "response" and record.payload_digest == digest:
                    return self._found(name, record, payload)
        for record, payload in records_with_payloads(stream):
            if record.kind == "response" and record.payload_digest == digest:
                return self._found(name, record, payload)
        raise UnreadableRecord(f"the file has no record with the bytes of the file ({digest})")

    def _found(self, name: str, record: StoredRecord, payload: bytes) -> bytes:
        with self._lock:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            self._places[name, record.payload_digest] = record.offset
        return payload

    def head(self, recorded: Recorded) -> tuple[str, str]:
        """Return the page's record without its payload: the WARC head, and the HTTP head.

        :raises ArchiveError: if it cannot be read.
        """
        with self._reader.opened(recorded.file, recorded.place) as stream:
            try:
                plain = gzip.decompress(raw_record(stream, recorded.page))
            except (UnreadableRecord, OSError, EOFError) as failure:
                raise ArchiveError(f"the record cannot be read: {failure}") from None
        warc, _, block = plain.partition(b"\r\n\r\n")
        return warc.decode("utf-8", "replace"), block.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")


def _file_record(record: StoredRecord, size: int) -> FileRecord:
    is_revisit = record.kind == "revisit"
    length = record.http_fields.get("content-length", "") if is_revisit else str(size)
    return FileRecord(
        offset=record.offset,
        url=record.url,
        kind=record.kind,
        content_type=record.http_fields.get("content-type", ""),
        digest=record.payload_digest,
        size=int(length) if length.isdecimal() else 0,
        first_date=record.fields.get("warc-refers-to-date", "") if is_revisit else "",
    )

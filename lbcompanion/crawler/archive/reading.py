"""Reading from the archive's files: one page, or a whole file, on the disk or in an object store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.object_store import ObjectStore, StoreFailed
from lbcompanion.crawler.archive.warc_reader import StoredRecord, UnreadableRecord, read_record, records_with_payloads
from lbcompanion.crawler.crawler_name import BadFileName, crawler_of_file, path_in_archive
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.payload_places import PayloadPlace
from lbcompanion.errors import CompanionError


class ArchiveReader:
    """Reads the files of one crawler's archive, and those of other crawlers that are in an object store.

    :param folder: of the archive.
    """

    def __init__(self, folder: Path, index: ArchiveIndex) -> None:
        self._folder = folder
        self._index = index
        self._stores: dict[str, ObjectStore] = {}

    def place_of(self, name: str) -> str:
        """Return the object store that has a file; empty if the file is on a crawler's disk.

        :raises BacklogError: if the database fails.
        """
        file = self._index.file(name)
        return "" if file is None else file.place

    def locate(self, file: str, offset: int) -> tuple[str, list[PayloadPlace]]:
        """Return what :meth:`read_page` needs: the object store, and where the page's bytes may be.

        :raises BacklogError: if the database fails.
        """
        return self.place_of(file), self._index.same_pages(file, offset)

    def read_page(self, file: str, offset: int, place: str = "", same: Sequence[PayloadPlace] = ()) -> bytes:
        """Return the body of the record at an offset of a file; of a revisit, that of the record it refers to.

        :param place: from :meth:`locate`; of a file in an object store only the records are fetched.
        :param same: from :meth:`locate`; without them, the whole file is searched for a revisit's body.
        :raises FileOfAnotherCrawler: if another crawler has the file, and it is not in an object store.
        :raises ArchiveError: if it cannot be read.
        """
        try:
            with self.opened(file, place) as stream:
                record, body = read_record(stream, offset)
                return body if record.kind != "revisit" else self._revisited(file, stream, record, same)
        except UnreadableRecord as failure:
            raise ArchiveError(f"the record cannot be read: {failure}") from None

    @contextmanager
    def opened(self, name: str, place: str = "") -> Iterator[BinaryIO]:
        """Open a file for reading, on the disk or in the object store.

        :param place: from :meth:`place_of`; of a file in an object store only the parts that are read are fetched.
        :raises ArchiveError: if it cannot be opened, or if reading from it fails within the block.
        """
        try:
            path = path_in_archive(self._folder, name)
        except BadFileName as failure:
            raise ArchiveError(str(failure)) from None
        crawler = crawler_of_file(name)
        if not place and crawler not in {"", self._index.crawler} and not path.exists():
            raise FileOfAnotherCrawler(f"the page is in the archive of the crawler {crawler}, in its file {name}")
        try:
            with self._open(name, place) as stream:
                yield stream
        except OSError as failure:
            raise ArchiveError(f"the record cannot be read: {failure.strerror or 'the file is missing'}") from None
        except StoreFailed as failure:
            raise ArchiveError(f"the record cannot be read: {failure}") from None

    def _open(self, name: str, place: str) -> BinaryIO:
        try:
            return path_in_archive(self._folder, name).open("rb")
        except FileNotFoundError:
            if not place:
                raise
        return self._stores.setdefault(place, ObjectStore(place)).open(name)

    def _revisited(self, file: str, stream: BinaryIO, revisit: StoredRecord, places: Sequence[PayloadPlace]) -> bytes:
        """Return the body of the record that a revisit refers to.

        :param places: tried first; erasures move payloads from one record to another.
        """
        failure: CompanionError | None = None
        for each in places:
            try:
                with nullcontext(stream) if each.file == file else self.opened(each.file, each.place) as source:
                    record, body = read_record(source, each.offset)
            except (ArchiveError, UnreadableRecord) as failed:
                failure = failed
                continue
            if record.kind == "response" and record.payload_digest == revisit.payload_digest:
                return body
        for record, body in records_with_payloads(stream):
            if record.kind == "response" and record.payload_digest == revisit.payload_digest:
                return body
        raise failure or UnreadableRecord(f"no record has the bytes of the page ({revisit.payload_digest})")

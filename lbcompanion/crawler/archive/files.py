"""The archive's WARC files: appended to one at a time, synced to disk, never overwritten.

Appended bytes count only when the index commits them: the next append, or the next start, continues at the committed
end. Blocking; the service calls it on the backlog's thread.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen
from twisted.logger import Logger
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]

from lbcompanion import __version__
from lbcompanion.crawler.archive.warc_records import (
    RecordRefused,
    Requisite,
    info_record,
    is_recordable,
    page_record,
    request_record,
    requisite_record,
    revisit_record,
)
from lbcompanion.crawler.crawler_name import archive_file_name, crawler_of_file
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue import database
from lbcompanion.crawler.queue.archive_index import ArchivedRecord, ArchiveIndex
from lbcompanion.crawler.queue.backlog import AlreadyEnded
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.requisite_report import MissingRequisite, RequisiteReport
from lbcompanion.errors import CompanionError
from lbcompanion.model import Attempt, WallClock, to_rfc3339

#: The topics of :class:`~lbcompanion.crawler.health.Health`.
WRITING, ROOM = "the archive cannot be written", "the archive has no room"

#: A file of at least this size is not continued.
ROTATE_BYTES = 1 << 30

# First bytes of each record, which is a gzip member of its own (WARC 1.1, annex D).
_GZIP_MEMBER = b"\x1f\x8b"
_NAME = re.compile(r"[A-Za-z0-9._-]+\.warc\.gz", re.ASCII)


class ArchiveError(CompanionError):
    """The archive cannot be read or written."""


class FileElsewhere(ArchiveError):
    """The file is in the archive of another crawler; the text names it."""


@frozen
class _EncodedPage:
    """The records of one page as bytes.

    :ivar page_offset: where the page's own record starts.
    :ivar payloads: the payloads that are new to the file.
    :ivar refused: requisites that no record can hold.
    """

    data: bytes
    page_offset: int
    payloads: tuple[tuple[str, str, str], ...]
    refused: tuple[MissingRequisite, ...]


class Archive:
    """The folder of WARC files that one crawler writes.

    :param index: holds the committed length of each file.
    :param now: the time, for the names of new files.
    :param min_free_bytes: nothing is archived while the disk has less free space; 0: no limit.
    :param health: where failures are reported.
    :param on_new_folder: called after the folder was created; it may refuse it with a :class:`CompanionError`.
    """

    def __init__(
        self,
        folder: Path,
        index: ArchiveIndex,
        now: WallClock,
        rotate_bytes: int = ROTATE_BYTES,
        min_free_bytes: int = 0,
        health: Health | None = None,
        on_new_folder: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._index = index
        self._now = now
        self._rotate_bytes = rotate_bytes
        self._min_free_bytes = min_free_bytes
        self._health = health or Health()
        self._on_new_folder = on_new_folder
        self._name = ""
        self._committed_end = 0
        self._is_end_uncertain = False
        self._payloads: dict[str, tuple[str, str]] = {}
        self._log = Logger(namespace="lbcompanion.crawler.archive")

    def recover(self) -> None:
        """Truncate every file of this crawler to its committed length, and continue the newest one.

        :raises ArchiveError: if the folder cannot be written.
        """
        try:
            self._make_folder()
            for name, committed in self._index.files().items():
                self._recover_file(name, committed)
        except OSError as failure:
            raise ArchiveError(f"the archive cannot be used: {failure.strerror}") from None

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._on_new_folder()

    def may_store(self) -> bool:
        """Whether a page may be fetched: the last one was written, and the disk has room.

        After a failure only one page at a time should be tried: each try transfers a copy.
        """
        if self._min_free_bytes:
            try:
                free = shutil.disk_usage(self._folder).free
            except OSError:
                return True  # the next write reports the error
            if free < self._min_free_bytes:
                self._health.failed(
                    ROOM, f"{free} bytes are free in {self._folder}; at least {self._min_free_bytes} have to be free"
                )
                return False
        self._health.works(ROOM)
        return True

    def is_failing(self) -> bool:
        """Whether the last page could not be written, to the archive or to the queue."""
        return self._health.is_failing(WRITING) or self._health.is_failing(database.WRITING)

    def _recover_file(self, name: str, committed: int) -> None:
        path = self._folder / name
        size = path.stat().st_size if path.exists() else -1
        self._name = ""
        if size < committed:
            if committed:
                short = committed - max(size, 0)
                self._log.critical("archive file {name} is {short} bytes short", name=name, short=short)
                self._report_missing(name, short)
            return
        if size > committed:
            self._log.info("archive file {name}: {more} uncommitted bytes cut off", name=name, more=size - committed)
            _truncate(path, committed)
        self._name, self._committed_end = name, committed
        self._payloads = self._index.payloads(name)

    def store(
        self,
        token: str,
        copy: FetchedCopy,
        requisites: tuple[Requisite, ...],
        route: str,
        attempts: tuple[Attempt, ...],
        report: RequisiteReport | None = None,
    ) -> ArchivedRecord:
        """Append a page with its requisites, sync the file, and commit that as the notice's outcome.

        :param report: the result for each of the page's requisites; None if requisites are off.

        :raises ArchiveError: if the bytes could not be synced to disk; nothing is committed.
        :raises RecordRefused: if a WARC record cannot represent the page; a retry would fail too.
        :raises BacklogError: if the commit failed; the next append overwrites the bytes, unless they were committed
            nevertheless.
        """
        self._find_end()
        try:
            self._leave_damaged_file()
            if not self._name or self._committed_end >= self._rotate_bytes:
                self._start_file()
            encoded = self._encode(copy, requisites)
            self._append(encoded.data)
        except OSError as failure:
            why = f"{failure.strerror} ({self._folder}); free or enlarge the disk, or correct the rights"
            self._health.failed(WRITING, why)
            raise ArchiveError(f"the archive cannot be written: {failure.strerror}") from None
        self._health.works(WRITING)
        record = ArchivedRecord(
            file=self._name,
            offset=self._committed_end + encoded.page_offset,
            committed=self._committed_end + len(encoded.data),
            answered_by=copy.node,
            route=route,
            sha256=copy.sha256.hex(),
            size=len(copy.body),
            content_type=copy.content_type,
            captured_at=copy.captured_at,
            page_url=copy.url,
            payloads=encoded.payloads,
            report=None if report is None else report.with_missing(encoded.refused),
        )
        try:
            self._index.mark_archived(token, record, attempts, self._now())
        except AlreadyEnded:
            # The notice may have been erased while its page was fetched: its bytes must not stay either.
            with suppress(OSError):
                self._cut_off()
            raise
        except BacklogError:
            self._is_end_uncertain = True
            raise
        self._committed_end = record.committed
        self._payloads.update({digest: (url, date) for digest, url, date in encoded.payloads})
        return record

    def close_file(self) -> None:
        """Cut off uncommitted bytes of the current file, and go on in a new one with the next page.

        :raises ArchiveError: if the file cannot be written.
        :raises BacklogError: if the committed end is not known.
        """
        self._find_end()
        try:
            self._cut_off()
        except OSError as failure:
            raise ArchiveError(f"the archive cannot be written: {failure.strerror}") from None
        self._name, self._committed_end, self._payloads = "", 0, {}

    @property
    def current_file(self) -> str:
        """The name of the file to which the next page is appended; empty: a new one."""
        return self._name

    def _cut_off(self) -> None:
        path = self._folder / self._name
        if self._name and path.exists() and path.stat().st_size > self._committed_end:
            _truncate(path, self._committed_end)

    def _find_end(self) -> None:
        """After a commit that failed, read the committed end again: the database may have committed nevertheless.

        :raises BacklogError: if the database still fails; nothing may be appended then.
        """
        if self._is_end_uncertain:
            self._committed_end = self._index.committed(self._name)
            self._payloads = self._index.payloads(self._name)
            self._is_end_uncertain = False

    def _leave_damaged_file(self) -> None:
        """Go on in a new file if someone removed or shortened the current one, or the whole folder."""
        if not self._name:
            return
        path = self._folder / self._name
        size = path.stat().st_size if path.exists() else -1
        if size >= self._committed_end:
            return
        short = self._committed_end - max(size, 0)
        self._log.critical("archive file {name} is {short} bytes short", name=self._name, short=short)
        self._report_missing(self._name, short)
        self._name = ""
        self._make_folder()

    def _report_missing(self, name: str, short: int) -> None:
        why = f"{short} bytes with archived pages are missing in {self._folder}; restore the file, then restart"
        self._health.failed(f"archive file {name}", why)

    def _encode(self, copy: FetchedCopy, requisites: tuple[Requisite, ...]) -> _EncodedPage:
        parts = [] if self._committed_end else [info_record(self._name, f"lbcompanion/{__version__}")]
        page_offset = sum(map(len, parts))
        parts.append(page_record(copy))
        if copy.method != "GET":
            parts.append(request_record(copy))
        date = to_rfc3339(copy.captured_at)
        new: dict[str, tuple[str, str]] = {}
        refused: list[MissingRequisite] = []
        for requisite in requisites:
            digest = requisite.sha256.hex()
            first = self._first_occurrence(digest) or new.get(digest)
            try:
                parts.append(
                    requisite_record(requisite, date) if first is None else revisit_record(requisite, date, *first)
                )
            except RecordRefused as failure:  # the page is archived without it
                refused.append(MissingRequisite(requisite.url, f"no record can hold it: {failure}"))
                continue
            if first is None:
                new[digest] = (requisite.url, date)
        payloads = tuple((digest, *first) for digest, first in new.items())
        return _EncodedPage(b"".join(parts), page_offset, payloads, tuple(refused))

    def _first_occurrence(self, digest: str) -> tuple[str, str] | None:
        """Return URL and date of a payload's first occurrence in this file, or None.

        Earlier versions stored URLs that no record can hold; these are ignored.
        """
        first = self._payloads.get(digest)
        return first if first is not None and is_recordable(first[0]) else None

    def _start_file(self) -> None:
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%d%H%M%S")
        serial, known, crawler = 0, self._index.files(), self._index.crawler
        while (name := archive_file_name(crawler, stamp, serial)) in known or (self._folder / name).exists():
            serial += 1
        # The row comes first: a file without a row is not the crawler's and is never changed.
        self._index.new_file(name)
        os.close(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _sync_folder(self._folder)
        self._name, self._committed_end, self._payloads = name, 0, {}

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self._folder / self._name, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, self._committed_end)
            os.lseek(descriptor, self._committed_end, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read_page(self, file: str, offset: int) -> bytes:
        """Return the body of the record at an offset of a file.

        :raises FileElsewhere: if another crawler has the file.
        :raises ArchiveError: if it cannot be read.
        """
        if not _NAME.fullmatch(file):
            raise ArchiveError("not a file of the archive")
        crawler = crawler_of_file(file)
        if crawler not in {"", self._index.crawler} and not (self._folder / file).exists():
            raise FileElsewhere(f"the page is in the archive of the crawler {crawler}, in its file {file}")
        try:
            with (self._folder / file).open("rb") as stream:
                stream.seek(offset)
                if stream.read(2) != _GZIP_MEMBER:
                    raise ArchiveError("no record begins there")
                stream.seek(offset)
                return bytes(next(iter(ArchiveIterator(stream))).content_stream().read())
        except ArchiveError:
            raise
        except Exception as failure:  # warcio raises errors of many classes for damaged files
            raise ArchiveError(f"the record cannot be read: {type(failure).__name__}") from None


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

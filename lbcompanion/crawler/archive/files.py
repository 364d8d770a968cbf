"""The archive's WARC files: appended to one at a time, synced to disk, never overwritten.

Appended bytes count only when the index commits them: the next append, or the next start, continues at the committed
end. Blocking; the service calls it on the backlog's thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve
from twisted.logger import Logger

from lbcompanion.crawler.archive.appending import Appender
from lbcompanion.crawler.archive.archive_mark import RENEW_SECONDS, ArchiveMark, end_of_records
from lbcompanion.crawler.archive.durable_files import sync_folder, truncate
from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.file_index import index_path, remove_index
from lbcompanion.crawler.archive.page_records import LEAST_FILE_BYTES, KnownBytes, encode, recent_files
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawler_name import archive_file_name, path_in_archive
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue import database
from lbcompanion.crawler.queue.archive_index import ArchivedRecord, ArchiveFile, ArchiveIndex, FileState
from lbcompanion.crawler.queue.backlog import AlreadyEnded
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.file_erasures import FileErasures
from lbcompanion.crawler.queue.payload_places import Payload
from lbcompanion.crawler.queue.requisite_report import RequisiteReport
from lbcompanion.html.page_title import page_title
from lbcompanion.model import Attempt, WallClock

#: The topics of :class:`~lbcompanion.crawler.health.Health`.
WRITING, ROOM = "the archive cannot be written", "the archive has no room"

#: The default size at which a file is closed.
ROTATE_BYTES = 1 << 30
#: The default length of the files to whose payloads a new file may refer.
REVISIT_BYTES = 2 << 30


class Archive:
    """The folder of WARC files that one crawler writes.

    :param index: holds the committed length of each file.
    :param now: the time, for the names of new files.
    :param rotate_bytes: a file of at least this size is closed.
    :param rotate_seconds: a file of at least this age is closed; 0: files are closed by their size only.
    :param min_free_bytes: nothing is archived while the disk has less free space; 0: no limit.
    :param health: where failures are reported.
    :param revisit_bytes: how long the files are in all to whose payloads a new file may refer; 0: no other file.
    :param on_new_folder: called after the folder was created; it may refuse it with a :class:`CompanionError`.
    :ivar reader: reads pages and files of the archive.
    """

    def __init__(
        self,
        folder: Path,
        index: ArchiveIndex,
        now: WallClock,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float = 0,
        min_free_bytes: int = 0,
        health: Health | None = None,
        on_new_folder: Callable[[], None] = lambda: None,
        revisit_bytes: int = REVISIT_BYTES,
    ) -> None:
        self._folder = folder
        self._index = index
        self._now = now
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._min_free_bytes = min_free_bytes
        self._health = health or Health()
        self._on_new_folder = on_new_folder
        self._revisit_bytes = revisit_bytes
        self._name = ""
        self._committed_end = 0
        self._opened_at = 0.0
        self._is_end_uncertain = False
        self._mark = ArchiveMark(folder, index)
        self._marked_at = 0.0
        self._known = KnownBytes()
        self._appender = Appender(folder)
        self.reader = ArchiveReader(folder, index)
        self._log = Logger(namespace="lbcompanion.crawler.archive")

    def recover(self) -> None:
        """Truncate every file of this crawler to its committed length, and continue the newest one if it is open.

        If the queue is older than the archive, whole records that it does not know stay, and a new file is begun.

        :raises ArchiveError: if the folder cannot be written.
        :raises BadFileName: if the queue names a file that cannot be in the folder; so do all methods with a name.
        """
        try:
            self._make_folder()
            is_queue_current = self._mark.fits()
            for file in self._index.own_files():
                self._name = ""
                if file.state is FileState.UPLOADED:
                    self.drop(file.name)  # the process ended before this
                elif is_queue_current and not file.committed and not self.path(file.name).exists():
                    self._index.forget_empty_file(file.name)  # the process ended before it created the file
                else:
                    self._recover_file(file, is_queue_current=is_queue_current)
            if not is_queue_current or not self._name:
                # Another queue may have committed more of them, or this process continues no file.
                self._index.close_files()
            self._known = self._known_of_file()
            self.renew_mark()
        except OSError as failure:
            raise ArchiveError(f"the archive cannot be used: {failure.strerror}") from None

    def renew_mark(self) -> None:
        """Renew the mark that folder and queue have in common, at a start, a stop, and from time to time.

        :raises BacklogError: if the database fails.
        """
        self._mark.renew()
        self._marked_at = self._now()

    def path(self, name: str) -> Path:
        """Return the path of a file, whether it is there or not."""
        return path_in_archive(self._folder, name)

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

    def _recover_file(self, file: ArchiveFile, *, is_queue_current: bool) -> None:
        path = self.path(file.name)
        size = path.stat().st_size if path.exists() else -1
        if file.committed > max(size, 0):
            short = file.committed - max(size, 0)
            self._log.critical("archive file {name} is {short} bytes short", name=file.name, short=short)
            self._report_missing(file.name, short)
            return
        if size > file.committed:
            committed = file.committed if is_queue_current else self._keep_unknown(path, file.committed)
            more = size - committed
            self._log.info("archive file {name}: {more} uncommitted bytes cut off", name=file.name, more=more)
            truncate(path, committed)
        if size >= 0 and file.state is not FileState.CLOSED and is_queue_current:
            self._name, self._committed_end, self._opened_at = file.name, file.committed, file.opened_at

    def _keep_unknown(self, path: Path, committed: int) -> int:
        """Keep whole records that an older queue does not know, and return where they end.

        The whole file is read: it may be one of another queue, in which no record ends at ``committed``.
        """
        end = max(committed, end_of_records(path))
        if end > committed:
            self._index.extend(path.name, end)
            self._log.critical(
                "archive file {name} has {more} bytes of records that the queue does not know; they stay. The queue is "
                "a copy or a backup that is older than the archive, or it belongs to another archive",
                name=path.name,
                more=end - committed,
            )
        return end

    def _known_of_file(self) -> KnownBytes:
        """Return what the index knows of the current file, or of the files before a new one."""
        return KnownBytes.of_file(self._index, self._name, self._revisit_bytes)

    def close_if_due(self) -> bool:
        """Close the current file if it is large or old enough, and return whether it was closed.

        :raises ArchiveError: if the file cannot be written.
        :raises BacklogError: if the database fails.
        """
        self._find_end()
        if abs(self._now() - self._marked_at) >= RENEW_SECONDS:
            self.renew_mark()
        if not self._name or not self._is_due():
            return False
        self.close_file()
        return True

    def close_file(self) -> None:
        """Close the current file; the next page begins a new one.

        :raises ArchiveError: if the file cannot be written.
        :raises BacklogError: if the database fails.
        """
        self._find_end()
        try:
            self._close_file()
        except OSError as failure:
            raise ArchiveError(f"the archive cannot be written: {failure.strerror}") from None
        self._index.close_files()

    def cut_off_uncommitted(self) -> None:
        """Cut off bytes of the current file that no recording has, such as those of a commit that failed.

        :raises OSError: if the file cannot be written.
        :raises BacklogError: if the database fails.
        """
        self._find_end()
        self._cut_off()

    def forget_payloads(self, names: Collection[str]) -> None:
        """Refer no more to payloads in these files, because they are going to be replaced.

        :param names: of closed files.
        """
        self._known.forget_files(names)

    @property
    def current_file(self) -> str:
        """The name of the file to which the next page is appended; empty: a new one."""
        return self._name

    def _is_due(self) -> bool:
        """Whether no further page should be added to the current file. An empty file is always continued."""
        if not self._committed_end:
            return False
        age = abs(self._now() - self._opened_at)  # the clock may have been set back
        return self._committed_end >= self._rotate_bytes or bool(self._rotate_seconds and age >= self._rotate_seconds)

    def _close_file(self) -> None:
        """Cut off what a failed commit left behind: readers take a closed file as a whole."""
        self._cut_off()
        name, self._name = self._name, ""
        if name:
            left = self._revisit_bytes - max(self._committed_end, LEAST_FILE_BYTES)
            files = {name, *recent_files(self._index, left)} if left >= 0 else set()
            self._known = self._known.of_next_file(name, files)

    def _cut_off(self) -> None:
        path = self._folder / self._name
        if self._name and path.exists() and path.stat().st_size > self._committed_end:
            truncate(path, self._committed_end)

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

        Files that an erasure names are left out.

        :param report: the result for each of the page's requisites; None if requisites are off.
        :raises ArchiveError: if the bytes could not be synced to disk; nothing is committed.
        :raises RecordRefused: if a WARC record cannot represent the page; a retry would fail too.
        :raises BacklogError: if the commit failed; the next append overwrites the bytes, unless they were committed
            nevertheless.
        """
        try:
            self._open_file()
            requisites, report = self._without_erased(token, requisites, report)
            new_file = "" if self._committed_end else self._name
            encoded = encode(copy, requisites, self._known, new_file, self._may_refer_to)
            self._appender.append(self._name, self._committed_end, encoded.data)
        except OSError as failure:
            raise self._failed(failure) from None
        if not self._appender.is_gathering:
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
            payloads=tuple(evolve(each, offset=self._committed_end + each.offset) for each in encoded.payloads),
            references=encoded.references,
            report=None if report is None else report.with_missing(encoded.refused),
            title=page_title(copy.body, copy.content_type),
            status=copy.status,
            method=copy.method,
            removed=None if copy.head is None else copy.head.removed,
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
        start, self._committed_end = self._committed_end, record.committed
        self._known.add(copy, encoded, start)
        return record

    def _without_erased(
        self, token: str, requisites: tuple[Requisite, ...], report: RequisiteReport | None
    ) -> tuple[tuple[Requisite, ...], RequisiteReport | None]:
        """Leave out the files that an erasure names: they may have been fetched before it."""
        erased = self._index.file_erasures.erased(token, [each.url for each in requisites])
        kept = tuple(each for each in requisites if each.url not in erased)
        if report is not None and erased:
            report = evolve(report, erased=len(requisites) - len(kept))
        return kept, report

    def _may_refer_to(self, payload: Payload) -> bool:
        """Whether the file of a payload is still there, in the folder or in an object store, and this crawler's.

        An erasure by another crawler, which has taken the file over, could not rewrite the file that is written here.
        """
        file = self._index.file(payload.file)
        if file is not None and file.crawler not in ("", self._index.crawler):
            file = None
        try:
            is_there = file is not None and (bool(file.place) or self.path(file.name).stat().st_size >= file.committed)
        except OSError:
            is_there = False
        if not is_there:
            self._known.forget_files({payload.file})
        return is_there

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Pages that are stored within the block are synced and committed together at its end; see :meth:`store`.

        :raises ArchiveError: if the bytes could not be synced to disk; nothing is committed.
        :raises BacklogError: if the commit failed.
        """
        try:
            self._open_file()
        except OSError as failure:
            raise self._failed(failure) from None
        confirmed = self._committed_end
        with self._appender.gathering():
            try:
                with self._index.gathered():
                    yield
                    self._sync()
            except BaseException:
                self._is_end_uncertain, self._committed_end = bool(self._name), confirmed
                raise

    def _sync(self) -> None:
        try:
            is_synced = self._appender.sync()
        except OSError as failure:
            raise self._failed(failure) from None
        if is_synced:
            self._health.works(WRITING)

    def _failed(self, failure: OSError) -> ArchiveError:
        why = f"{failure.strerror} ({self._folder}); free or enlarge the disk, or correct the rights"
        self._health.failed(WRITING, why)
        return ArchiveError(f"the archive cannot be written: {failure.strerror}")

    @property
    def file_erasures(self) -> FileErasures:
        """The requests to erase files of pages."""
        return self._index.file_erasures

    def is_due(self) -> bool:
        """Whether the next page begins a new file."""
        return not self._name or self._is_due()

    def _open_file(self) -> None:
        """Make sure that there is a file to append to."""
        self._find_end()
        self._leave_damaged_file()
        if self._appender.is_gathering:
            # A new file's row would go with the transaction if that fails, and its bytes would belong to nobody.
            if not self._name:
                raise ArchiveError("the archive file disappeared while pages were gathered")
        elif self.is_due():
            self._start_file()

    def _find_end(self) -> None:
        """After a commit that failed, read the committed end again: the database may have committed nevertheless.

        :raises ArchiveError: if the file cannot be read or written.
        :raises BacklogError: if the database still fails; nothing may be appended then.
        """
        if not self._is_end_uncertain:
            return
        committed = self._index.committed(self._name)
        if committed is None:
            self._leave_lost_file()
        else:
            self._committed_end = committed
            self._known = self._known_of_file()
        self._is_end_uncertain = False

    def _leave_lost_file(self) -> None:
        """Go on in a new file if the database has lost the row of the current one.

        A server that does not sync its commits loses the last ones when it is killed. The records whose commits it had
        confirmed stay.
        """
        name, path, end = self._name, self.path(self._name), self._committed_end
        try:
            if not end:
                path.unlink(missing_ok=True)
            elif path.exists() and path.stat().st_size > end:
                truncate(path, end)
        except OSError as failure:
            raise self._failed(failure) from None
        if end:
            self._index.keep_lost_file(name, end, self._opened_at)
        self._log.critical(
            "the queue's database has lost archive file {name}, whose {end} bytes stay. Does the server sync commits?",
            name=name,
            end=end,
        )
        self._name, self._known = "", KnownBytes()

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
        self._name, self._known = "", KnownBytes()
        self._make_folder()

    def _report_missing(self, name: str, short: int) -> None:
        why = f"{short} bytes with archived pages are missing in {self._folder}; restore the file, then restart"
        self._health.failed(f"archive file {name}", why)

    def _start_file(self) -> None:
        if self._name:
            self._close_file()
        now = self._now()
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M%S")
        serial, known, crawler = 0, self._index.used_names(), self._index.crawler
        while (name := archive_file_name(crawler, stamp, serial)) in known or (self._folder / name).exists():
            serial += 1
        # The row comes first: a file without a row is not the crawler's and is never changed.
        self._index.new_file(name, now)
        os.close(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        sync_folder(self._folder)
        self._name, self._committed_end, self._opened_at = name, 0, now

    def whole_file(self, file: ArchiveFile) -> Path | None:
        """Return the path of a closed file that has all its records; None if bytes are missing, which is reported.

        :raises OSError: if the file cannot be read or truncated.
        """
        path = self.path(file.name)
        size = path.stat().st_size if path.exists() else 0
        if size < file.committed:
            self._report_missing(file.name, file.committed - size)
            return None
        if size > file.committed:
            truncate(path, file.committed)
        return path

    def drop(self, name: str) -> None:
        """Remove a file and its index from the disk after an object store has them.

        :raises OSError: if they cannot be removed.
        """
        path = self.path(name)
        remove_index(path)
        path.unlink(missing_ok=True)

    def without_index(self) -> list[ArchiveFile]:
        """Return this crawler's closed files on the disk that have no index yet, oldest first.

        :raises BacklogError: if the database fails.
        """
        closed = self._index.closed_files()
        return [each for each in closed if self.path(each.name).exists() and not self._has_index(each.name)]

    def _has_index(self, name: str) -> bool:
        return index_path(self.path(name)).exists()

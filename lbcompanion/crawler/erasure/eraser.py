"""Erases recordings in steps, each of which leaves the archive and the queue's tables consistent.

1. Rows are deleted or marked (:mod:`lbcompanion.crawler.queue.erasures`). From here on no query shows them.
2. Each file with marked rows is replaced, together with the later files that refer to payloads of these rows' records.
   The names of the new files, their successors, are noted as *doomed*: files to be removed. The successors are written
   and synced. One transaction moves the rows into them, and notes the old files as doomed instead. Then the old files
   are removed.

After a crash before the transaction, the old files are in use and the unfinished ones are doomed. After a later crash,
the old files are doomed. The next start removes doomed files and continues with step 2.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.erasure.file_search import ErasedFiles, find_erased
from lbcompanion.crawler.erasure.folder import ArchivePlace, closing_on_error, successor_name
from lbcompanion.crawler.erasure.rewriting import NO_FILES, Rewriter, RewritingStopped
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.archive_index import ArchiveFile
from lbcompanion.crawler.queue.erasures import REFUSE_SECONDS, Erasures, Matches, Selection
from lbcompanion.crawler.queue.file_erasures import FileRequest
from lbcompanion.crawler.queue.file_replacement import FileReplacements, FileRow, Replacement
from lbcompanion.crawler.queue.payload_places import Reference, ReferenceChange
from lbcompanion.errors import CompanionError
from lbcompanion.model import WallClock

#: The topic of :class:`~lbcompanion.crawler.health.Health`.
ERASING = "erased records cannot be removed from the archive"

#: Runs a blocking call with its arguments in another thread; the Deferred fires with its result.
Run = Callable[..., Deferred[Any]]


@frozen
class Result:
    """The counts of one erasure.

    :ivar records: records that were removed; of a file that was removed as a whole, only the pages are counted.
    :ivar waiting: recordings that are not shown any more, but whose records are still in the archive.
    :ivar files_waiting: files that were rewritten, but whose old version could not be removed yet.
    :ivar files_unsearched: files that could not be searched yet for erased files of pages.
    """

    recordings: int = 0
    archived: int = 0
    losses: int = 0
    routes: int = 0
    records: int = 0
    files: int = 0
    bytes: int = 0
    waiting: int = 0
    files_waiting: int = 0
    files_unsearched: int = 0


@frozen
class _FilePlan:
    """A file to rewrite, with the name of its successor."""

    file: ArchiveFile
    rows: list[FileRow] = field(repr=False)
    draft: str


@frozen
class _Plan:
    """The files to rewrite together.

    :ivar main: the file with erased records.
    :ivar referrers: later files whose revisits refer to payloads of these records, oldest first.
    :ivar references: all references from or to these files.
    :ivar erased_files: the files of pages to erase from the main file.
    """

    main: _FilePlan
    referrers: list[_FilePlan]
    references: frozenset[Reference] = field(repr=False)
    erased_files: ErasedFiles

    @property
    def payload_offsets(self) -> list[int]:
        """The offsets of the erased records that other files refer to."""
        name, erased = self.main.file.name, _ErasedParts(self.main.rows)
        targets = (each.payload for each in self.references)
        return sorted({each.offset for each in targets if each.file == name and erased.has(each.offset)})


class _ErasedParts:
    """The parts of a file that belong to erased recordings, or are erased files.

    :param rows: in the order of their records.
    :param offsets: of the records of erased files.
    """

    def __init__(self, rows: list[FileRow], offsets: Iterable[int] = ()) -> None:
        self._rows = rows
        self._offsets = frozenset(offsets)
        self._starts = [row.offset for row in rows]

    def has(self, offset: int) -> bool:
        """Whether the record at an offset is erased. It belongs to the last recording that starts before it."""
        number = bisect_right(self._starts, offset)
        return offset in self._offsets or (number > 0 and self._rows[number - 1].erasure is not None)


@define
class Parts:
    """The parts that the eraser uses.

    :ivar defer: runs calls on the thread of the database.
    :ivar work: runs calls that read and write whole files.
    :ivar store_url: the object store to which the crawler uploads its files; empty: none.
    :ivar file_lock: held while a file is uploaded or rewritten.
    :ivar forget_routes: called with site and node of the routes that were deleted.
    :ivar forget_files: called when pages were erased on request; a file of theirs must not be archived from memory.
    :ivar on_erased: called with who erased, and how many recordings.
    :ivar on_step: called with the name of each step that was done.
    :ivar compact: removes the bytes of deleted rows from the database's files.
    """

    erasures: Erasures
    replacements: FileReplacements
    archive: Archive
    place: ArchivePlace
    defer: Run
    work: Run
    now: WallClock
    health: Health
    store_url: str = ""
    file_lock: DeferredLock = Factory(DeferredLock)
    forget_routes: Callable[[tuple[tuple[str, str], ...]], object] = lambda _routes: None
    forget_files: Callable[[], object] = lambda: None
    on_erased: Callable[[str, int], object] = lambda _by, _count: None
    on_step: Callable[[str], object] = lambda _step: None
    compact: Callable[[], object] = lambda: None


class Eraser:
    """Erases recordings, one erasure at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = DeferredLock()
        self._stopped = False
        self._log = Logger(namespace="lbcompanion.crawler.erasure")

    async def erase(self, selection: Selection, by: str, refuse_seconds: float = REFUSE_SECONDS) -> Result:
        """Erase the recordings of a selection.

        :param by: who erases: ``command``, ``api``, ``keep_days`` or ``keep_bytes``.
        :param refuse_seconds: how long notices of an erased recording are refused.
        :raises BacklogError: if the queue cannot be written.
        """
        result: Result = await self._locked(self._erase(selection, by, refuse_seconds))
        return result

    async def sweep(self) -> None:
        """Remove the records of recordings that an earlier run marked but did not remove from the archive."""
        await self._locked(self._sweep())

    async def _locked(self, action: Coroutine[Deferred[Any], Any, Any]) -> Any:
        try:
            await self._lock.acquire()
        except BaseException:
            action.close()
            raise
        try:
            return await action
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Interrupt the writing of files; the next start does the rest."""
        self._stopped = True

    async def _erase(self, selection: Selection, by: str, refuse_seconds: float) -> Result:
        parts = self._parts
        erasure = await parts.defer(parts.erasures.begin, selection, by, parts.now())
        is_last = False
        while not is_last:
            batch = await parts.defer(parts.erasures.erase, erasure, selection, parts.now(), refuse_seconds)
            is_last = batch.is_last
            if batch.routes:
                parts.forget_routes(batch.routes)
            parts.on_step("marked")
        await self._sweep()
        await parts.defer(parts.compact)
        result: Result = await parts.defer(self._result, erasure)
        parts.on_erased(by, result.recordings)
        self._log.info(
            "erased by {by} ({criteria}): {recordings} recordings; {records} records removed from {files} files of the "
            "archive; records of {waiting} recordings still have to be removed",
            by=by,
            criteria=selection.criteria,
            recordings=result.recordings,
            records=result.records,
            files=result.files,
            waiting=result.waiting,
        )
        return result

    def _result(self, erasure: int) -> Result:
        entry = self._parts.erasures.entry(erasure)
        names = ("recordings", "archived", "losses", "routes", "records", "files", "bytes")
        return Result(
            **{name: entry[name] for name in names},
            waiting=self._parts.erasures.waiting(erasure),
            files_waiting=len(self._parts.replacements.doomed()),
            files_unsearched=self._parts.archive.file_erasures.waiting(erasure),
        )

    async def count(self, selection: Selection) -> Matches:
        """Return how many recordings would be erased, and how many records of files in this crawler's archive files.

        :raises BacklogError: if the queue cannot be read.
        :raises OSError: if an archive file cannot be read.
        """
        parts, criteria = self._parts, selection.file_criteria
        matches: Matches = await parts.defer(parts.erasures.count, selection)
        if criteria is None:
            return matches
        request = FileRequest(0, criteria, await parts.defer(parts.archive.file_erasures.last_recording))
        records = 0
        for name, file in (await parts.defer(parts.replacements.files)).items():
            rows, wanted = await parts.defer(self._wanted, name, [request])
            erased = await parts.defer(parts.erasures.matching, selection, name)
            try:
                offsets = await parts.work(self._find, file, rows, wanted)
            except FileNotFoundError:  # it is reported
                continue
            marked = _ErasedParts([evolve(row, erasure=0 if row.id in erased else row.erasure) for row in rows])
            records += sum(not marked.has(offset) for offset in offsets)
        return evolve(matches, file_records=records)

    async def _note_requests(self) -> None:
        """Forget the files in memory if an erasure was requested, here or at another crawler, since the last look."""
        requests = self._parts.archive.file_erasures
        latest = await self._parts.defer(requests.latest)
        if latest > requests.known:
            await self._parts.defer(requests.note, latest)
            self._parts.forget_files()

    async def _sweep(self) -> None:
        parts = self._parts
        await self._note_requests()
        await parts.file_lock.acquire()
        try:
            failures = [await self._cut_off(), await self._remove_doomed()]
            waiting = await parts.defer(parts.replacements.waiting_files)
            # The newest first: then an erased revisit needs no payload of an older file any more.
            for name in reversed(waiting):
                if self._stopped:
                    return
                failures.append(await self._try_to_rewrite(name))
                failures.append(await self._remove_doomed())
        except RewritingStopped:
            return
        finally:
            parts.file_lock.release()
        await parts.defer(self._finish)
        if waiting:
            await parts.defer(parts.compact)
        failed = [failure for failure in failures if failure]
        if failed:
            parts.health.failed(ERASING, failed[-1])
        else:
            parts.health.works(ERASING)

    def _finish(self) -> None:
        if not self._parts.replacements.doomed():
            self._parts.erasures.finish(self._parts.now())
        self._parts.archive.file_erasures.forget(self._parts.now())

    async def _try_to_rewrite(self, name: str) -> str:
        """Replace one file; return why that failed, or an empty text."""
        try:
            await self._rewrite(name)
        except RewritingStopped:
            raise
        except (OSError, CompanionError) as failure:
            return _cause(name, failure)
        return ""

    async def _rewrite(self, name: str) -> None:
        """Replace one file by a successor without the erased records, and the files that need these."""
        parts = self._parts
        erased_files = await self._search(name)
        if not erased_files.offsets and not await parts.defer(self._has_erased_rows, name):
            await parts.defer(self._note_searched, name, erased_files)
            return
        plan = await parts.defer(self._plan, name, erased_files)
        parts.on_step("doomed")
        places = {each.file.name: each.file.place for each in (plan.main, *plan.referrers)}
        rewriter = Rewriter(
            lambda file: parts.place.open(file, places[file], rewriter.check_stopped), lambda: self._stopped
        )
        try:
            written = await parts.work(self._write_all, rewriter, plan)
        finally:
            rewriter.close()
        parts.on_step("written")
        if written:
            moved = rewriter.moved_payloads({each.new for each in written} - {""})
            after = rewriter.references(plan.references, {each.old: each for each in written})
            change = ReferenceChange(_touching(plan.references, written), _touching(after, written))
            replaced = [evolve(each, place=places[each.old] or parts.store_url) for each in written]
            await parts.defer(parts.replacements.replace, replaced, moved, change)
            parts.on_step("replaced")
        if name not in {each.old for each in written}:
            await parts.defer(self._note_searched, name, erased_files)

    async def _search(self, name: str) -> ErasedFiles:
        """Find the erased files of pages in an archive file for which it was not searched yet."""
        parts = self._parts
        requests = await parts.defer(parts.archive.file_erasures.requests)
        searched = await parts.defer(parts.archive.file_erasures.searched, name) if requests else 0
        requests = [each for each in requests if each.erasure > searched]
        file = (await parts.defer(parts.replacements.files)).get(name) if requests else None
        if file is None:
            return NO_FILES
        rows, wanted = await parts.defer(self._wanted, name, requests)
        if _is_erased(rows):
            return NO_FILES  # the whole file is removed
        found: list[int] = await parts.work(self._find, file, rows, wanted)
        return ErasedFiles(wanted.requests, wanted.pages, tuple(found))

    def _wanted(self, name: str, requests: list[FileRequest]) -> tuple[list[FileRow], ErasedFiles]:
        pages = tuple(self._parts.archive.file_erasures.pages(each, name) for each in requests)
        return self._parts.replacements.rows(name), ErasedFiles(tuple(requests), pages)

    def _find(self, file: ArchiveFile, rows: list[FileRow], wanted: ErasedFiles) -> list[int]:
        place = self._parts.place
        size = min(place.size(file.name, file.place), file.committed)
        if size < 0:
            self._report_missing(file.name)
            raise FileNotFoundError(errno.ENOENT, "the file is missing: no erased file of a page can be found in it")
        return find_erased(place, file, size, rows, wanted, self._check_stopped)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise RewritingStopped("the crawler stops")

    def _has_erased_rows(self, name: str) -> bool:
        return any(row.erasure is not None for row in self._parts.replacements.rows(name))

    def _note_searched(self, name: str, erased_files: ErasedFiles) -> None:
        if erased_files.last:
            self._parts.archive.file_erasures.note_searched(name, erased_files.last)

    def _plan(self, name: str, erased_files: ErasedFiles) -> _Plan:
        replacements, archive = self._parts.replacements, self._parts.archive
        rows = replacements.rows(name)
        erased = _ErasedParts(rows, erased_files.offsets)
        needing = {
            each.file
            for each in replacements.references([name])
            if each.payload.file == name and erased.has(each.payload.offset)
        }
        if archive.current_file in {name, *needing}:
            archive.close_file()
        archive.forget_payloads({name, *needing})
        files = replacements.files()
        if others := sorted(needing - set(files)):
            raise CompanionError(f"its erased bytes are needed by {others[0]}, a file of another crawler")
        # Their own erased recordings stay for now: each file with such recordings has its own turn.
        referrers = [
            self._file_plan(each, [evolve(row, erasure=None) for row in replacements.rows(each.name)])
            for each in files.values()
            if each.name in needing
        ]
        references = replacements.references([name, *needing])
        return _Plan(self._file_plan(files[name], replacements.rows(name)), referrers, references, erased_files)

    def _file_plan(self, file: ArchiveFile, rows: list[FileRow]) -> _FilePlan:
        parts = self._parts
        files, doomed = parts.replacements.files(), parts.replacements.doomed()
        draft = successor_name(
            file.name, lambda other: other in files or other in doomed or parts.place.size(other) >= 0
        )
        parts.replacements.doom(draft)
        return _FilePlan(file, rows, draft)

    def _write_all(self, rewriter: Rewriter, plan: _Plan) -> list[Replacement]:
        """Write the successors of a plan's files; return what changes."""
        main = self._write_main(rewriter, plan)
        written = [] if main is None else [main]
        for each in plan.referrers:
            size = self._size(each)
            if size < 0:
                self._report_missing(each.file.name)
                continue
            replacement = self._write(rewriter, each, size)
            if replacement is not None:
                written.append(replacement)
        return written

    def _write_main(self, rewriter: Rewriter, plan: _Plan) -> Replacement | None:
        size = self._size(plan.main)
        if size < 0:
            return self._without_file(plan.main)
        if _is_erased(plan.main.rows):
            if plan.payload_offsets:
                rewriter.note_erased_payloads(plan.main.file.name, plan.payload_offsets)
            return _whole(plan.main, size)
        return self._write(rewriter, plan.main, size, plan.erased_files)

    def _size(self, plan: _FilePlan) -> int:
        return min(self._parts.place.size(plan.file.name, plan.file.place), plan.file.committed)

    def _write(
        self, rewriter: Rewriter, plan: _FilePlan, size: int, erased_files: ErasedFiles = NO_FILES
    ) -> Replacement | None:
        place = self._parts.place
        with closing_on_error(place.create(plan.draft)) as target:
            replacement = rewriter.rewrite(plan.file.name, size, plan.rows, plan.draft, target, erased_files)
            self._parts.on_step("copied")
            place.sync(target)
        if replacement is not None and replacement.new:
            place.write_index(plan.draft, rewriter.check_stopped)
        return replacement

    def _report_missing(self, name: str) -> None:
        self._log.critical("archive file {name} is missing: only its rows can be erased", name=name)
        self._parts.health.failed(f"archive file {name}", "the file is missing; restore it, then restart")

    def _without_file(self, plan: _FilePlan) -> Replacement:
        """Erase the rows only: the file has disappeared."""
        name = plan.file.name
        self._report_missing(name)
        erased = [row.id for row in plan.rows if row.erasure is not None]
        kept = {row.id: row.offset for row in plan.rows if row.erasure is None}
        new, committed = (name, plan.file.committed) if kept else ("", 0)
        return Replacement(old=name, new=new, committed=committed, offsets=kept, erased=erased)

    async def _cut_off(self) -> str:
        """Cut off the page of an erased notice whose commit failed; return why that failed, or an empty text."""
        archive = self._parts.archive
        try:
            await self._parts.defer(archive.cut_off_uncommitted)
        except (OSError, CompanionError) as failure:
            return _cause(archive.current_file, failure)
        return ""

    async def _remove_doomed(self) -> str:
        """Remove replaced and unfinished files, and copies of files that another crawler has taken over.

        :returns: why that failed, or an empty text.
        """
        parts, files = self._parts, self._parts.replacements
        failed = ""
        doomed = [(name, place, files.removed) for name, place in (await parts.defer(files.doomed)).items()]
        left = [(name, "", files.copy_removed) for name in await parts.defer(files.left_copies)]
        for name, place, note in (*doomed, *left):
            try:
                await parts.work(parts.place.remove, name, place)
            except (OSError, CompanionError) as failure:
                failed = _cause(name, failure)
                continue
            parts.on_step("removed")
            await parts.defer(note, name)
        return failed


def _touching(references: Iterable[Reference], written: list[Replacement]) -> frozenset[Reference]:
    """Return the references from or to files that are replaced, by their old or new names."""
    names = {name for each in written for name in (each.old, each.new)}
    return frozenset(each for each in references if each.file in names or each.payload.file in names)


def _is_erased(rows: list[FileRow]) -> bool:
    """Whether all recordings of a file are erased."""
    return bool(rows) and all(row.erasure is not None for row in rows)


def _whole(plan: _FilePlan, size: int) -> Replacement:
    """Return the replacement of a file whose recordings are all erased: it is removed without being read."""
    records = Counter(row.erasure for row in plan.rows if row.erasure is not None)
    erased = [row.id for row in plan.rows]
    return Replacement(old=plan.file.name, new="", committed=0, offsets={}, erased=erased, records=records, freed=size)


def _cause(name: str, failure: Exception) -> str:
    why = failure.strerror if isinstance(failure, OSError) else str(failure)
    advice = "free or enlarge the disk, or correct the rights" if isinstance(failure, OSError) else "it is tried again"
    return f"{name}: {why}; {advice}"

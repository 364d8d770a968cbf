"""Writes the pages that are ready together: one sync of the archive and one transaction for all of them.

A page waits for others only while others may come. Writing begins when no page came for a moment, or when a number of
pages or bytes waits. A page that cannot be archived does not prevent the others from being archived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.warc_records import RecordRefused, Requisite
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.queue.archive_index import ArchivedRecord
from lbcompanion.crawler.queue.backlog import AlreadyEnded
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.requisite_report import RequisiteReport
from lbcompanion.model import Attempt

#: With this number of pages, or of bytes of pages and files, no more are waited for: the defaults.
ENOUGH_PAGES = 16
ENOUGH_BYTES = 8 * 1024 * 1024
#: While this many times the bytes wait, because the disk is slow, no further pages are fetched.
_MOST_TIMES = 4
#: A page waits for further pages at most this many times the time that the crawler waits for one.
_MOST_WAITS = 10
#: After this number of failures of single pages the disk or the database counts as failing.
_MOST_FAILURES = 2

Result = ArchivedRecord | ArchiveError | BacklogError | RecordRefused
_OWN_FAILURES = (RecordRefused, AlreadyEnded)


@frozen
class ReadyPage:
    """A page that can be archived; see :meth:`Archive.store`."""

    token: str
    copy: FetchedCopy
    requisites: tuple[Requisite, ...]
    route: str
    attempts: tuple[Attempt, ...]
    report: RequisiteReport | None = None

    def size_beside(self, digests: set[bytes]) -> int:
        """Return the bytes of the page and of those of its files that no other waiting page has.

        :param digests: of the other pages' files; those of this page are added. Pages share their files' bytes, in
            memory and in the archive.
        """
        new = {each.sha256: len(each.body) for each in self.requisites if each.sha256 not in digests}
        digests.update(new)
        return len(self.copy.body) + sum(new.values())

    def store(self, archive: Archive) -> Result:
        """Store the page; a failure is returned."""
        try:
            return archive.store(self.token, self.copy, self.requisites, self.route, self.attempts, self.report)
        except (ArchiveError, BacklogError, RecordRefused) as failure:
            return failure


def store_all(archive: Archive, pages: Sequence[ReadyPage]) -> list[Result]:
    """Store pages and return the result of each, in their order. Blocking.

    The stored pages are durable when this returns. After a failure that is not a single page's own, each page is stored
    alone, because the disk or the database may refuse only one of them.
    """
    results: list[Result] = []
    while len(results) < len(pages):
        rest = pages[len(results) :]
        try:
            results += _store_group(archive, rest)
        except (ArchiveError, BacklogError) as failure:
            results += [failure] if len(rest) == 1 else _store_singly(archive, rest)
    return results


def _store_group(archive: Archive, pages: Sequence[ReadyPage]) -> list[Result]:
    """Store pages in one transaction, up to the end of the archive file; return the results of these pages."""
    results: list[Result] = []
    if len(pages) == 1:
        return [pages[0].store(archive)]
    with archive.gathering():
        for page in pages:
            result = page.store(archive)
            if isinstance(result, Exception) and not isinstance(result, _OWN_FAILURES):
                raise result
            results.append(result)
            if archive.is_due():
                break
    return results


def _store_singly(archive: Archive, pages: Sequence[ReadyPage]) -> list[Result]:
    results: list[Result] = []
    failures = 0
    for page in pages:
        result = page.store(archive) if failures < _MOST_FAILURES else results[-1]
        failures += isinstance(result, Exception) and not isinstance(result, _OWN_FAILURES)
        results.append(result)
    return results


class Defer(Protocol):
    """Runs blocking calls in another thread, in order, one at a time."""

    def __call__(self, call: Callable[..., Any], /, *args: Any) -> Deferred[Any]:
        """Run one call; fires with its result."""
        ...


@define
class _Waiting:
    """A page that is not written yet."""

    page: ReadyPage
    done: Deferred[ArchivedRecord] = Factory(Deferred)


class GroupCommit:
    """Gathers pages and writes them.

    :param defer: runs :func:`store_all` on the thread of the archive.
    :param reactor: for the time, and to wait.
    :param gather_seconds: how long to wait for one further page; 0: pages are only gathered while others are written.
    :param may_come: how many pages may still come; without any, nothing is waited for.
    :param on_commit: called when pages have been written together.
    :param enough_pages: with this number of pages, or with ``enough_bytes``, pages do not wait for others.
    """

    def __init__(
        self,
        archive: Archive,
        defer: Defer,
        reactor: IReactorTime,
        gather_seconds: float = 0.0,
        may_come: Callable[[], int] = lambda: 1,
        on_commit: Callable[[], None] = lambda: None,
        enough_pages: int = ENOUGH_PAGES,
        enough_bytes: int = ENOUGH_BYTES,
    ) -> None:
        self._archive = archive
        self._defer = defer
        self._reactor = reactor
        self._gather_seconds = gather_seconds
        self._may_come = may_come
        self._on_commit = on_commit
        self._enough_pages = enough_pages
        self._enough_bytes = enough_bytes
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._digests: set[bytes] = set()
        self._first_at = 0.0
        self._is_writing = False
        self._timer: IDelayedCall | None = None
        self._log = Logger(namespace="lbcompanion.crawler.archive")

    def store(self, page: ReadyPage) -> Deferred[ArchivedRecord]:
        """Store a page; the Deferred fires when it is durable, or fails as :meth:`Archive.store` does."""
        waiting = _Waiting(page)
        if not self._waiting:
            self._first_at = self._reactor.seconds()
        self._waiting.append(waiting)
        self._bytes += page.size_beside(self._digests)
        self._schedule()
        return waiting.done

    @property
    def is_full(self) -> bool:
        """Whether too many bytes wait, so that no further page should be fetched."""
        return self._bytes >= _MOST_TIMES * self._enough_bytes

    def recheck(self) -> None:
        """Write the waiting pages if no further page may come: a job ended without a page."""
        if self._waiting and self._timer is not None and not self._may_come():
            self._schedule()

    def _schedule(self) -> None:
        """Write now, or when it becomes clear that no page comes for a while."""
        self._stop_timer()
        if self._is_writing:
            return
        left = self._seconds_left()
        if left > 0:
            self._timer = self._reactor.callLater(left, self._write)
        else:
            self._write()

    def _seconds_left(self) -> float:
        is_enough = len(self._waiting) >= self._enough_pages or self._bytes >= self._enough_bytes
        if is_enough or not self._may_come():
            return 0.0
        waited = self._reactor.seconds() - self._first_at
        return min(self._gather_seconds, _MOST_WAITS * self._gather_seconds - waited)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _write(self) -> None:
        self._timer = None
        batch, self._waiting, self._bytes, self._is_writing = self._waiting, [], 0, True
        self._digests = set()
        # The thread may be gone: the crawler stopped without waiting for these pages.
        writing = maybeDeferred(self._defer, store_all, self._archive, [each.page for each in batch])
        writing.addCallbacks(_fire_all, _fail_all, callbackArgs=(batch,), errbackArgs=(batch,))
        writing.addErrback(self._on_defect, batch)
        writing.addBoth(self._on_written)

    def _on_defect(self, failure: Failure, batch: list[_Waiting]) -> None:
        """Let no caller wait for ever, and no later page."""
        self._log.failure("pages were written, and a caller could not be notified: a defect", failure=failure)
        _fail_all(failure, [each for each in batch if not each.done.called])

    def _on_written(self, _result: object) -> None:
        self._is_writing = False
        self._on_commit()
        if self._waiting:
            self._schedule()


def _fire_all(results: list[Result], batch: list[_Waiting]) -> None:
    for each, result in zip(batch, results, strict=True):
        if isinstance(result, Exception):
            each.done.errback(result)
        else:
            each.done.callback(result)


def _fail_all(failure: Failure, batch: list[_Waiting]) -> None:
    for each in batch:
        each.done.errback(failure)

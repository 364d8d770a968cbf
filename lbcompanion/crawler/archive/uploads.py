"""Closes archive files by size and age, writes their indexes, and moves closed files to the object store.

A file is uploaded whole, with its index, read back, recorded as uploaded, and only then removed from the disk. A crash
between two of these steps repeats the step: the name stays the same, and a file that the store already has is not sent
again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.file_index import index_path, write_index
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.object_store import FileNameTaken, ObjectStore, StoreFailed, UploadStopped
from lbcompanion.crawler.archive.warc_reader import UnreadableRecord
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.archive_index import ArchiveFile, ArchiveIndex
from lbcompanion.crawler.queue.database import BacklogError

#: The topic of :class:`~lbcompanion.crawler.health.Health`.
UPLOADING = "archive files cannot be uploaded"

#: How often the current file's age is looked at, and closed files are looked for, in seconds.
INTERVAL_SECONDS = 10.0
#: The pauses after failures begin with this, and double up to the most.
FIRST_PAUSE_SECONDS = 5.0
MOST_PAUSE_SECONDS = 300.0


class Uploads:
    """One crawler's uploads.

    :param store: None if the archive is a folder; then files are only closed.
    :param defer: runs a blocking call on the backlog's thread.
    :param in_thread: runs a blocking call on a thread that may wait for the network.
    :param jitter: a random number from 0 to 1.
    :param file_lock: held while a file is uploaded: meanwhile no erasure rewrites it.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        index: ArchiveIndex,
        store: ObjectStore | None,
        defer: Callable[..., Deferred[Any]],
        in_thread: Callable[..., Deferred[Any]],
        reactor: IReactorTime,
        metrics: CrawlerMetrics,
        health: Health,
        jitter: Callable[[], float],
        file_lock: DeferredLock | None = None,
    ) -> None:
        self._archive = archive
        self._index = index
        self._store = store
        self._defer = defer
        self._in_thread = in_thread
        self._reactor = reactor
        self._metrics = metrics
        self._health = health
        self._jitter = jitter
        self._file_lock = file_lock or DeferredLock()
        self._failures = 0
        self._stopped = False
        #: Files that are damaged, so that no index can be written.
        self._without_index: set[str] = set()
        #: Files that are missing on the disk, and in the store too.
        self._not_in_store: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._log = Logger(namespace="lbcompanion.crawler.archive")

    def start(self) -> None:
        """Look for closed files now, and from now on."""
        if self._stopped:
            return
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._on_failure)
        self._running.addBoth(self._on_end)

    def stop(self) -> Deferred[None]:
        """Start no further upload; fires when the current one has ended. An upload in parts ends after its part."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        ended: Deferred[None] = Deferred()
        if self._running is None:
            ended.callback(None)
        else:
            self._running.addBoth(lambda _result: ended.callback(None))
        return ended

    async def _run(self) -> None:
        await self._defer(self._archive.close_if_due)
        for file in await self._defer(self._archive.without_index):
            if self._stopped:
                return
            await self._locked(self._write_index, file)
        if self._store is None:
            return
        waiting = await self._defer(self._index.closed_files)
        self._count_waiting(waiting)
        for number, file in enumerate(waiting, 1):
            if self._stopped:
                return
            await self._locked(self._upload, file, self._store)
            self._count_waiting(waiting[number:])
        self._failures = 0
        self._health.works(UPLOADING)

    async def _locked(self, action: Callable[..., Coroutine[Any, Any, None]], file: ArchiveFile, *more: Any) -> None:
        """Do something with a file unless an erasure has replaced it; meanwhile none does."""
        await self._file_lock.acquire()
        try:
            if await self._defer(self._index.file, file.name) == file:
                await action(file, *more)
        finally:
            self._file_lock.release()

    async def _write_index(self, file: ArchiveFile) -> None:
        """Write a file's index. A file without one is uploaded, too."""
        if file.name in self._without_index:
            return
        path = await self._defer(self._archive.whole_file, file)
        if path is None:
            return
        try:
            await self._in_thread(write_index, path, self._check_stopped)
        except (UnreadableRecord, ValueError, OSError) as failure:
            # It is not tried again in this run: a full disk must not keep its files from being uploaded.
            self._without_index.add(file.name)
            self._log.error("archive file {name}: no index: {why}", name=file.name, why=str(failure))

    def _check_stopped(self) -> None:
        if self._stopped:
            raise UploadStopped("the crawler stops")

    def _count_waiting(self, waiting: list[ArchiveFile]) -> None:
        self._metrics.set_waiting_files(len(waiting), sum(file.committed for file in waiting))

    async def _upload(self, file: ArchiveFile, store: ObjectStore) -> None:
        path = await self._defer(self._archive.whole_file, file)
        topic = f"archive file {file.name}"
        if path is None:
            await self._look_in_store(file, store, topic)
            return
        try:
            sent = await self._in_thread(self._send, store, path)
        except FileNameTaken as failure:
            self._metrics.count_upload(done=False)
            self._health.failed(topic, str(failure))
            return
        if not await self._defer(self._index.mark_uploaded, file, store.url):
            return  # the file was changed meanwhile
        await self._defer(self._archive.drop, file.name)
        self._health.works(topic)
        self._metrics.count_upload(done=True, size=sent)
        self._log.info("archive file {name}: now at {place}", name=file.name, place=store.url)

    async def _look_in_store(self, file: ArchiveFile, store: ObjectStore, topic: str) -> None:
        """Look for a file that is not whole on the disk: an older queue does not know that it was uploaded."""
        if file.name in self._not_in_store:
            return
        path = self._archive.path(file.name)
        size = await self._in_thread(store.size_if_continued, file.name, path)
        if size < file.committed:
            self._not_in_store.add(file.name)
            return
        if not await self._defer(self._index.mark_uploaded, file, store.url, size):
            return  # the file was changed meanwhile
        await self._defer(self._archive.drop, file.name)
        self._health.works(topic)
        self._log.warn("archive file {name}: found at {place}; the queue is older", name=file.name, place=store.url)

    def _send(self, store: ObjectStore, path: Path) -> int:
        """Upload a file, and its index if it has one. Blocking."""
        sent = store.upload(path.name, path, lambda: self._stopped)
        index = index_path(path)
        if index.exists():
            sent += store.upload(index.name, index, lambda: self._stopped, may_replace=True)
        return sent

    def _on_failure(self, failure: Any) -> None:
        # The queue reports its failures itself. They say nothing about the object store, which needs no longer pause.
        if failure.check(UploadStopped, BacklogError):
            return
        known = failure.check(StoreFailed, ArchiveError, OSError)
        self._failures += 1
        self._metrics.count_upload(done=False)
        why = failure.getErrorMessage() if known else failure.type.__name__
        self._health.failed(UPLOADING, f"{why}; files wait on this crawler's disk, and are tried again")
        if not known:
            self._log.failure("uploading archive files: a defect", failure=failure)

    def _on_end(self, _result: object) -> None:
        self._running = None
        if not self._stopped:
            self._timer = self._reactor.callLater(self._pause(), self.start)

    def _pause(self) -> float:
        if not self._failures:
            return INTERVAL_SECONDS
        pause: float = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 30), MOST_PAUSE_SECONDS)
        return pause * (0.5 + self._jitter() / 2)

"""Closes archive files by size and age, and moves closed files to the object store.

A file is uploaded whole, read back, recorded as uploaded, and only then removed from the disk. A crash between two of
these steps repeats the step: the name stays the same, and a file that the store already has is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.object_store import FileNameTaken, ObjectStore, StoreFailed, UploadStopped
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
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._log = Logger(namespace="lbcompanion.crawler.archive")

    def start(self) -> None:
        """Look for closed files now, and from now on."""
        if self._stopped:
            return
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._on_failure)
        self._running.addCallback(self._on_end)

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
        if self._store is None:
            return
        waiting = await self._defer(self._index.closed_files)
        self._count_waiting(waiting)
        for number, file in enumerate(waiting, 1):
            if self._stopped:
                return
            await self._file_lock.acquire()
            try:
                await self._upload(self._store, file)
            finally:
                self._file_lock.release()
            self._count_waiting(waiting[number:])
        self._failures = 0
        self._health.works(UPLOADING)

    def _count_waiting(self, waiting: list[ArchiveFile]) -> None:
        self._metrics.set_waiting_files(len(waiting), sum(file.committed for file in waiting))

    async def _upload(self, store: ObjectStore, file: ArchiveFile) -> None:
        current = await self._defer(self._index.file, file.name)
        if current != file:
            return  # an erasure replaced it
        path = await self._defer(self._archive.whole_file, file)
        if path is None:
            return
        topic = f"archive file {file.name}"
        try:
            sent = await self._in_thread(store.upload, file.name, path, lambda: self._stopped)
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

    def _on_failure(self, failure: Any) -> None:
        if failure.check(UploadStopped):
            return
        known = failure.check(StoreFailed, ArchiveError, BacklogError, OSError)
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

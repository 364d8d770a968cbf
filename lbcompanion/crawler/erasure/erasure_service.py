"""Erasure and retention as a service of a running crawler: start, stop, and the thread that rewrites archive files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import Factory, frozen
from twisted.internet.defer import DeferredLock

from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.erasure.eraser import Eraser, Parts, Run
from lbcompanion.crawler.erasure.folder import ArchiveFolder
from lbcompanion.crawler.erasure.retention import Retention
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.erasures import Erasures
from lbcompanion.crawler.queue.file_replacement import FileReplacements
from lbcompanion.crawler.threads import Threads
from lbcompanion.model import WallClock
from lbcompanion.sticky.routes import Routes


@frozen
class ErasureContext:
    """The database and the archive of a crawler, and the limits of retention.

    :ivar folder: of the archive.
    :ivar secret: the farm's secret, for pseudonyms.
    :ivar keep_days: see :class:`.retention.Retention`; so ``keep_bytes``.
    :ivar store_url: see :class:`.eraser.Parts`; so ``file_lock``.
    """

    database: Database
    index: ArchiveIndex
    archive: Archive
    folder: Path
    secret: bytes
    keep_days: float = 0
    keep_bytes: int = 0
    store_url: str = ""
    file_lock: DeferredLock = Factory(DeferredLock)


def build_eraser(
    context: ErasureContext,
    erasures: Erasures,
    defer: Run,
    work: Run,
    now: WallClock,
    health: Health,
    routes: Routes | None = None,
    on_erased: Callable[[str, int], object] = lambda _by, _count: None,
    forget_files: Callable[[], object] = lambda: None,
) -> Eraser:
    """Return the eraser of a crawler's archive.

    :param defer: runs calls on the thread of the database.
    :param work: runs calls that read and write whole files.
    :param routes: the routes of a running crawler.
    :param forget_files: forgets the files of pages that a running crawler has in memory.
    """

    def forget_routes(deleted: tuple[tuple[str, str], ...]) -> None:
        if routes is not None:
            for site, node in deleted:
                routes.forget_traffic(site, node)

    return Eraser(
        Parts(
            erasures=erasures,
            replacements=FileReplacements(context.database, context.index),
            archive=context.archive,
            place=ArchiveFolder(context.folder),
            defer=defer,
            work=work,
            now=now,
            health=health,
            forget_routes=forget_routes,
            forget_files=forget_files,
            on_erased=on_erased,
            compact=context.database.compact,
            store_url=context.store_url,
            file_lock=context.file_lock,
        )
    )


class ErasureService:
    """Erasure and retention of a running crawler.

    :param defer: runs calls on the thread of the database.
    :ivar eraser: erases on request.
    :ivar erasures: the rows, and the log.
    :ivar secret: the farm's secret, for pseudonyms.
    """

    def __init__(
        self,
        context: ErasureContext,
        *,
        defer: Run,
        reactor: Any,
        now: WallClock,
        health: Health,
        routes: Routes,
        on_erased: Callable[[str, int], object],
        forget_files: Callable[[], object] = lambda: None,
    ) -> None:
        self.erasures = Erasures(context.database)
        self.secret = context.secret
        self._work = Threads(reactor, "erasure")
        self.eraser = build_eraser(
            *(context, self.erasures, defer, self._work, now, health, routes),
            on_erased=on_erased,
            forget_files=forget_files,
        )
        self._retention = Retention(
            eraser=self.eraser,
            erasures=self.erasures,
            replacements=FileReplacements(context.database, context.index),
            archive=context.archive,
            defer=defer,
            reactor=reactor,
            now=now,
            keep_days=context.keep_days,
            keep_bytes=context.keep_bytes,
            store_url=context.store_url,
        )

    def start(self) -> None:
        """Start the thread and the retention."""
        self._work.start()
        self._retention.start()

    def stop(self) -> None:
        """Interrupt the running erasure, and wait for the thread."""
        self._retention.stop()
        self.eraser.stop()
        self._work.stop()

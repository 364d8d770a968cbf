"""Retention: erases the oldest recordings by ``[crawler] keep_days`` and ``keep_bytes``, from time to time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.erasure.eraser import Eraser, Run
from lbcompanion.crawler.queue.erasures import RETENTION_REFUSE_SECONDS, Erasures, Selection
from lbcompanion.crawler.queue.file_replacement import FileReplacements, Replacement
from lbcompanion.crawler.queue.payload_places import ReferenceChange
from lbcompanion.errors import CompanionError
from lbcompanion.model import WallClock

_DAY = 86400.0
#: How often the size of the archive is checked, in seconds.
CHECK_SECONDS = 60.0
#: The age is checked this many times in ``keep_days``, and at least once an hour.
_CHECKS_IN_TIME = 100
_MAX_AGE_CHECK_SECONDS = 3600.0
#: If the wall clock jumps forward by more than this, nothing is erased for its age for as long: the jump may be a
#: mistake, which somebody or the time service corrects.
JUMP_SECONDS = 3600.0
#: If a single file is larger than ``keep_bytes``, this share of it is kept, so that not every page rewrites it.
_KEPT_SHARE = 0.9


class Retention:
    """Erases what is too old, or too much.

    :param keep_days: how long recordings are kept; 0: for ever.
    :param keep_bytes: the largest total size of this crawler's archive files; 0: no limit.
    :param store_url: the object store to which the crawler uploads its files; empty: none.
    """

    def __init__(
        self,
        *,
        eraser: Eraser,
        erasures: Erasures,
        replacements: FileReplacements,
        archive: Archive,
        defer: Run,
        reactor: IReactorTime,
        now: WallClock,
        keep_days: float,
        keep_bytes: int,
        store_url: str = "",
    ) -> None:
        self._eraser = eraser
        self._erasures = erasures
        self._replacements = replacements
        self._archive = archive
        self._defer = defer
        self._reactor = reactor
        self._now = now
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._store_url = store_url
        self._age_checked_at: float | None = None
        #: The wall clock less the reactor's clock, which never jumps, at the last look.
        self._clock_offset: float | None = None
        self._jumped_at: float | None = None
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False
        self._log = Logger(namespace="lbcompanion.crawler.erasure")

    def start(self) -> None:
        """Run now, and again from time to time."""
        self._running = Deferred.fromCoroutine(self.run())
        self._running.addErrback(self._failed)
        self._running.addBoth(self._ran)

    def _failed(self, failure: Any) -> None:
        if failure.check(CompanionError, OSError):
            self._log.error("old recordings could not be erased: {why}", why=str(failure.value))
        else:
            self._log.failure("old recordings could not be erased", failure=failure)

    def _ran(self, _result: object) -> None:
        self._running = None
        if not self._stopped:
            self._timer = self._reactor.callLater(min(CHECK_SECONDS, self._age_check_seconds()), self.start)

    def stop(self) -> None:
        """Run no more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _age_check_seconds(self) -> float:
        if not self._keep_days:
            return _MAX_AGE_CHECK_SECONDS
        return min(max(self._keep_days * _DAY / _CHECKS_IN_TIME, 1.0), _MAX_AGE_CHECK_SECONDS)

    async def run(self) -> None:
        """Erase old and excess recordings, and the records that earlier erasures left in the archive."""
        await self._eraser.sweep()
        if self._keep_days and self._is_age_due():
            selection = Selection(received_before=self._now() - self._keep_days * _DAY)
            if (await self._defer(self._erasures.count, selection)).recordings:
                await self._eraser.erase(selection, "keep_days", RETENTION_REFUSE_SECONDS)
        if self._keep_bytes:
            selection = await self._defer(self._too_much)
            if selection is not None and (await self._defer(self._erasures.count, selection)).recordings:
                await self._eraser.erase(selection, "keep_bytes", RETENTION_REFUSE_SECONDS)

    def _is_age_due(self) -> bool:
        """Whether the age is to be checked."""
        seconds = self._reactor.seconds()
        if self._has_jumped(seconds):
            return False
        if self._age_checked_at is not None and seconds - self._age_checked_at < self._age_check_seconds():
            return False
        self._age_checked_at = seconds
        return True

    def _has_jumped(self, seconds: float) -> bool:
        """Whether the wall clock jumped forward a short time ago."""
        offset = self._now() - seconds
        if self._clock_offset is not None and offset - self._clock_offset > JUMP_SECONDS:
            self._jumped_at = seconds
            self._log.warn(
                "the clock jumped forward by {jump} s: for {pause} s nothing is erased for its age",
                jump=round(offset - self._clock_offset),
                pause=round(JUMP_SECONDS),
            )
        if self._clock_offset is not None and self._clock_offset - offset > JUMP_SECONDS:
            self._jumped_at = None  # the jump was undone
        self._clock_offset = offset
        return self._jumped_at is not None and seconds - self._jumped_at < JUMP_SECONDS

    def _too_much(self) -> Selection | None:
        """Return the oldest recordings, whose removal makes the archive short enough; None if it is short enough."""
        files = self._replacements.files()
        excess = sum(file.committed for file in files.values()) - self._keep_bytes
        if excess <= 0:
            return None
        chosen: list[str] = []
        for name, file in files.items():
            if excess <= 0 or name == self._archive.current_file or name == list(files)[-1]:
                break
            excess -= file.committed
            if self._replacements.rows(name):
                chosen.append(name)
            else:
                # Pages of an earlier crash that no recording refers to.
                place = file.place or self._store_url
                change = ReferenceChange(self._replacements.references([name]))
                self._replacements.replace([Replacement(name, "", 0, {}, (), place=place)], references=change)
        if chosen:
            return Selection(files=tuple(chosen))
        newest = list(files)[-1] if excess > 0 else ""
        return self._oldest_of(newest, files[newest].committed) if newest else None

    def _oldest_of(self, name: str, committed: int) -> Selection | None:
        bound = committed - self._keep_bytes * _KEPT_SHARE
        after = [row.offset for row in self._replacements.rows(name) if row.offset >= bound]
        return Selection(files=(name,), below_offset=after[0] if after else committed)

"""Writes the counts over time to the queue's database, every few seconds and at the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from lbcompanion.crawler.activity import Activity
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.loops import CountError, SteadyLoop, not_counted
from lbcompanion.model import WallClock

#: A crawler that is killed loses the counts of this time, but no page.
WRITE_SECONDS = 10.0
FOLD_SECONDS = 1800.0


class ActivityWriter:
    """Writes counts while the crawler runs.

    :param defer: runs calls on the thread of the database.
    :param now: seconds since the epoch.
    :param count_error: counts writes that failed by a defect.
    """

    def __init__(
        self,
        activity: Activity,
        table: ActivityTable,
        *,
        defer: Defer,
        reactor: IReactorTime,
        now: WallClock,
        count_error: CountError = not_counted,
    ) -> None:
        self._activity = activity
        self._table = table
        self._defer = defer
        self._now = now
        self._folded_at = float("-inf")
        self._writes = SteadyLoop(self.write, name="counts over time", clock=reactor, count_error=count_error)

    def start(self) -> None:
        """Write regularly."""
        self._writes.start(WRITE_SECONDS)

    def write(self) -> Deferred[None]:
        """Write what was counted; if that fails, the counts are kept for the next time."""
        counts, now = self._activity.take(), self._now()

        def failed(_failure: Any) -> None:  # the database has reported it to health
            self._activity.give_back(counts)

        def fold(_result: None) -> Deferred[None] | None:
            if now - self._folded_at < FOLD_SECONDS:
                return None
            self._folded_at = now
            folding: Deferred[None] = self._defer(self._table.fold, now)
            return folding.addErrback(lambda _failure: None)

        writing: Deferred[None] = self._defer(self._table.add, counts, now) if counts else succeed(None)
        return writing.addCallbacks(fold, failed)

    def stop(self) -> Deferred[None]:
        """Write the rest, and write no more."""
        self._writes.stop()
        return self.write()

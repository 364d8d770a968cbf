"""Stores the notices and losses of a delivery, without those of erased recordings."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from lbcompanion.crawler.queue.backlog import Arrival, Backlog
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.erasure_lock import lock_for_notices
from lbcompanion.crawler.queue.erasures import Erasures
from lbcompanion.model import Loss


@frozen
class Admitted:
    """The result of a delivery.

    :ivar new: the origin node of each new notice.
    :ivar refused: how many were left out, because their recordings are erased.
    """

    new: tuple[str, ...]
    refused: int


@frozen
class Admission:
    """Stores deliveries. Between its check and its insertion of a notice no crawler erases."""

    database: Database
    backlog: Backlog
    erasures: Erasures

    def add(self, arrivals: Sequence[Arrival], losses: Sequence[Loss], now: float) -> Admitted:
        """Store a delivery: first its losses, so that its notices have them when they are scheduled.

        :raises BacklogError: if the database fails.
        """
        if losses:
            # A transaction of its own: both together would lock rows in an order that is not the same for all crawlers.
            with self.database.gathered():
                self._lock()
                _, kept, _ = self.erasures.without_erased([], losses)
                if kept:
                    self.backlog.add_losses(kept, now)
        with self.database.gathered():
            self._lock()
            left, _, refused = self.erasures.without_erased(arrivals, [])
            return Admitted(self.backlog.add(left, now), refused)

    def _lock(self) -> None:
        with self.database.change() as connection:
            lock_for_notices(connection)

"""Watches the outcomes of a queue for those who follow them, and deletes old ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.outcomes import MOST_NUMBERED, Extent, Outcomes
from lbcompanion.crawler.threads import NotRunning
from lbcompanion.model import WallClock
from lbcompanion.settings import OutcomesTable

#: How often to look for outcomes while somebody follows them. Another crawler may have written them.
LOOK_SECONDS = 0.5
#: How often old outcomes are deleted.
TRIM_SECONDS = 600.0
_DAY_SECONDS = 86400.0


class Follower(Protocol):
    """One that follows the outcomes."""

    def look(self, extent: Extent) -> None:
        """Read outcomes, unless all up to the end of the extent are read."""
        ...


class OutcomeWatch:
    """Tells followers how far the outcomes reach.

    :param defer: runs calls on the thread of the database.
    :param now: seconds since the epoch.
    :ivar outcomes: the outcomes.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        settings: OutcomesTable,
        *,
        defer: Callable[..., Deferred[Any]],
        reactor: IReactorTime,
        now: WallClock,
    ) -> None:
        self.outcomes = outcomes
        self._settings = settings
        self._defer = defer
        self._now = now
        self._followers: list[Follower] = []
        self._log = Logger(namespace="lbcompanion.crawler.outcomes")
        self._looks, self._trims = LoopingCall(self._look), LoopingCall(self._trim)
        self._looks.clock = self._trims.clock = reactor

    def start(self) -> None:
        """Delete old outcomes regularly."""
        self._trims.start(TRIM_SECONDS)

    def stop(self) -> None:
        """Do no more."""
        self._followers.clear()
        for loop in (self._looks, self._trims):
            if loop.running:
                loop.stop()

    def follow(self, follower: Follower) -> None:
        """Tell a follower from now on."""
        self._followers.append(follower)
        if not self._looks.running:
            self._looks.start(LOOK_SECONDS, now=False)

    def leave(self, follower: Follower) -> None:
        """Tell a follower no more; without any, the database is not asked."""
        if follower in self._followers:
            self._followers.remove(follower)
        if not self._followers and self._looks.running:
            self._looks.stop()

    async def whole_extent(self) -> Extent:
        """Return the numbers once all outcomes of this moment have a number.

        :raises BacklogError: if the database fails.
        """
        before: Extent = await self._defer(self.outcomes.number)
        while True:
            extent: Extent = await self._defer(self.outcomes.number)
            if extent.last - before.last < MOST_NUMBERED:
                return extent
            before = extent

    def _look(self) -> Deferred[None]:
        return self._run(self.outcomes.number).addCallbacks(self._tell, self._failed)

    def _tell(self, extent: Extent) -> None:
        for follower in list(self._followers):
            follower.look(extent)

    def _trim(self) -> Deferred[None]:
        keep_seconds = self._settings.keep_days * _DAY_SECONDS
        trimming = self._run(self.outcomes.trim, self._now(), keep_seconds, self._settings.keep_count)
        return trimming.addCallbacks(lambda _count: None, self._failed)

    async def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        return await self._defer(call, *args)

    def _run(self, call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._call(call, *args))

    def _failed(self, failure: Any) -> None:
        # The database has reported its failure to the crawler's health.
        if not failure.check(BacklogError, NotRunning):
            self._log.failure("a defect", failure=failure)

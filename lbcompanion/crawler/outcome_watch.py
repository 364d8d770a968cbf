"""Watches the outcomes of a queue for streams and webhooks, and deletes old outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.outcomes import MOST_NUMBERED, Extent, Outcomes
from lbcompanion.crawler.threads import NotRunning
from lbcompanion.loops import CountError, SteadyLoop, not_counted
from lbcompanion.model import WallClock
from lbcompanion.settings import OutcomesTable

#: How often to look for outcomes while somebody follows them. Another crawler may have written them.
LOOK_SECONDS = 0.5
#: How often old outcomes are deleted.
TRIM_SECONDS = 600.0
_DAY_SECONDS = 86400.0


class Follower(Protocol):
    """A stream or a webhook."""

    def look(self, extent: Extent) -> None:
        """Read outcomes, unless all up to the end of the extent are read."""
        ...


class OutcomeWatch:
    """Tells followers how far the outcomes reach.

    :param defer: runs calls on the thread of the database.
    :param now: seconds since the epoch.
    :param count_error: counts errors of the loops and of followers.
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
        count_error: CountError = not_counted,
    ) -> None:
        self.outcomes = outcomes
        self._settings = settings
        self._defer = defer
        self._now = now
        self._followers: list[Follower] = []
        self._log = Logger(namespace="lbcompanion.crawler.outcomes")
        self._count_error = count_error
        self._looks = SteadyLoop(self._look, name="outcomes", clock=reactor, count_error=count_error)
        self._trims = SteadyLoop(self._trim, name="old outcomes", clock=reactor, count_error=count_error)

    def start(self) -> None:
        """Delete old outcomes regularly."""
        self._trims.start(TRIM_SECONDS)

    def stop(self) -> None:
        """Stop both."""
        self._followers.clear()
        self._looks.stop()
        self._trims.stop()

    def follow(self, follower: Follower) -> None:
        """Call a follower regularly from now on."""
        self._followers.append(follower)
        if not self._looks.running:
            self._looks.start(LOOK_SECONDS, now=False)

    def leave(self, follower: Follower) -> None:
        """Call a follower no more. Without followers the database is not asked."""
        if follower in self._followers:
            self._followers.remove(follower)
        if not self._followers:
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
            try:
                follower.look(extent)
            except Exception as error:  # a defect of one follower must not keep outcomes from the others
                self._count_error("outcomes", error)
                self._log.failure("a follower of the outcomes failed: a defect")

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

"""Writes the audit log for the admin listener. What cannot be written is not done."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lbcompanion.crawler.admin.endpoint import Caller, HttpError
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.audit import ALLOWED, AuditLine, AuditLog
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.threads import NotRunning

#: The topic of :class:`~lbcompanion.crawler.health.Health`.
WRITING = "the audit log cannot be written"


@frozen
class Subject:
    """The subject of a line: the token of a recording, or the pseudonym of a visitor."""

    token: str = ""
    visitor: str = ""


class AuditTrail:
    """Writes lines of the audit log.

    :param defer: runs calls on the thread of the database.
    :param now: seconds since the epoch.
    """

    def __init__(self, log: AuditLog, *, defer: Defer, health: Health, now: Callable[[], float]) -> None:
        self._log = log
        self._defer = defer
        self._health = health
        self._now = now

    @property
    def log(self) -> AuditLog:
        """The log that is written to."""
        return self._log

    async def write(
        self, caller: Caller, action: str, *, result: str = ALLOWED, about: Subject = Subject(), detail: str = ""
    ) -> int:
        """Write a line, and return its number.

        :param about: the recording or the visitor that it is about.

        :raises HttpError: 503 if it is not written; then the request must not be carried out.
        """
        line = AuditLine(caller.name, caller.how, caller.address, action, result, about.token, about.visitor, detail)
        try:
            number = await self._defer(self._log.write, line, self._now())
        except (BacklogError, NotRunning) as failure:
            raise self._refusal(failure) from None
        self._health.works(WRITING)
        return number

    async def describe(self, number: int, detail: str) -> None:
        """Replace the detail of a line.

        :raises HttpError: 503 if it is not written.
        """
        try:
            await self._defer(self._log.describe, number, detail)
        except (BacklogError, NotRunning) as failure:
            raise self._refusal(failure) from None

    def _refusal(self, failure: Exception) -> HttpError:
        self._health.failed(WRITING, f"{failure}; requests that would be logged are refused until it can be written")
        return HttpError(503, "the audit log cannot be written, so the request is refused", (("retry-after", "5"),))

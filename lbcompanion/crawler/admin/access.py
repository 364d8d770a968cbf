"""Builds the access control of the admin listener from the settings, and prunes the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from lbcompanion.crawler.access.login_pace import LoginPace
from lbcompanion.crawler.access.sessions import Sessions
from lbcompanion.crawler.access.users_file import UsersFile
from lbcompanion.crawler.admin.audit_trail import AuditTrail
from lbcompanion.crawler.admin.endpoint import HttpError
from lbcompanion.crawler.admin.guard import Access, ForwardAuth
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.audit import AuditLog
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.threads import NotRunning
from lbcompanion.loops import CountError, SteadyLoop, not_counted
from lbcompanion.settings import CrawlerTable

#: How often old lines of the audit log are deleted, in seconds.
PRUNE_SECONDS = 3600.0


def build_access(
    crawler: CrawlerTable,
    trail: AuditTrail,
    *,
    health: Health,
    metrics: CrawlerMetrics,
    clock: Callable[[], float],
    command_token: str = "",
) -> Access:
    """Return who may do what, and log it.

    :param clock: seconds that only increase.
    :param command_token: hash of the token of the crawler's own commands.
    """
    access = Access(
        users=UsersFile(crawler.users_file) if crawler.users_file is not None else None,
        sessions=Sessions(idle_seconds=crawler.session_idle_seconds, max_seconds=crawler.session_seconds, clock=clock),
        pace=LoginPace(free_failures=crawler.login_failures, max_wait_seconds=crawler.login_wait_seconds, clock=clock),
        trail=trail,
        health=health,
        metrics=metrics,
        proxies=crawler.admin_proxies,
        forward_auth=ForwardAuth(crawler.forward_auth_header, crawler.forward_auth_role_header),
        command_token=command_token,
    )
    log = Logger(namespace="lbcompanion.crawler.admin.access")
    if access.is_open:
        log.warn("no log-in is configured: everybody who reaches {admin} is an operator", admin=crawler.admin)
    else:
        try:
            access.present_users()
        except HttpError:
            log.warn("nobody can log in at {admin} until users_file can be used", admin=crawler.admin)
    return access


class AuditPruning:
    """Deletes old lines of the audit log, at the start and every hour.

    :param days: how many days lines are kept; 0: for ever.
    :param now: seconds since the epoch.
    :param count_error: counts deletions that failed by a defect.
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        days: float,
        defer: Defer,
        now: Callable[[], float],
        reactor: Any,
        count_error: CountError = not_counted,
    ) -> None:
        self._audit = log
        self._days = days
        self._defer = defer
        self._now = now
        self._loop = SteadyLoop(self._prune, name="old audit lines", clock=reactor, count_error=count_error)
        self._log = Logger(namespace="lbcompanion.crawler.admin.access")

    def start(self) -> None:
        """Begin."""
        if self._days:
            self._loop.start(PRUNE_SECONDS)

    def stop(self) -> None:
        """End; a second call does nothing."""
        self._loop.stop()

    def _prune(self) -> Deferred[Any]:
        def failed(failure: Any) -> None:
            failure.trap(BacklogError, NotRunning)
            self._log.warn("the audit log could not be pruned: {why}", why=str(failure.value))

        return maybeDeferred(self._defer, self._audit.prune, self._days, self._now()).addErrback(failed)

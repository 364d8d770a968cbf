"""After a start: confirms the pages that the last run archived just before its end.

A crawler that is killed between the commit of a page and its confirmation would leave the copy at its node until it
expires. Whether a page was confirmed is not stored, because that would cost a transaction. So the last archived pages
are confirmed once more. A node ignores a confirmation of a copy that it does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbcompanion.crawler.crawl.confirmations import Confirmations
from lbcompanion.crawler.crawl.round_runner import SiteContext
from lbcompanion.crawler.fetching.fetcher import FetchPath
from lbcompanion.crawler.queue.archive_index import ArchivedPage
from lbcompanion.model import WallClock
from lbcompanion.sticky.routes import Routes

#: The pages of this many seconds before the last archived one are confirmed, and how many at most. A request for a
#: confirmation takes no longer, and the copies of a node that is down are not confirmed later either.
LAST_SECONDS, MOST_PAGES = 60.0, 2000
#: When the pages are tried whose nodes have no known route yet, in seconds after the one before.
_PAUSES = (0.0, 5.0, 30.0)


class Unconfirmed:
    """The confirmations after one start.

    :param gather_seconds: see :class:`Confirmations`.
    :param count: called with ``done=`` for each confirmation.
    """

    def __init__(
        self,
        contexts: Mapping[str, SiteContext],
        routes: Routes,
        reactor: IReactorTime,
        now: WallClock,
        gather_seconds: float = 0.0,
        count: Callable[..., object] = lambda **_done: None,
    ) -> None:
        self._contexts = contexts
        self._routes = routes
        self._reactor = reactor
        self._now = now
        self._count = count
        self._confirmations = Confirmations(reactor, gather_seconds)
        self._running: Deferred[None] | None = None
        self._log = Logger(namespace="lbcompanion.crawler.crawl")

    def start(self, pages: Iterable[ArchivedPage]) -> None:
        """Confirm pages."""
        self._running = Deferred.fromCoroutine(self._run(list(pages)))
        self._running.addErrback(self._on_failure)

    def stop(self) -> None:
        """Confirm no more."""
        if self._running is not None:
            self._running.cancel()

    def _on_failure(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self._log.failure("confirming the last archived pages: a defect", failure=failure)

    async def _run(self, pages: list[ArchivedPage]) -> None:
        for pause in _PAUSES:
            if not pages:
                return
            await deferLater(self._reactor, pause)
            found = [(page, self._path_to(page)) for page in pages]
            pages = [page for page, path in found if path is None]
            done = [self._confirm(page, path) for page, path in found if path is not None]
            for accepted in await gatherResults(done):
                self._count(done=accepted)
        for node, number in Counter(page.owner for page in pages).items():
            self._log.info("{number} copies at {node} stay until they expire: no route", number=number, node=node)

    def _path_to(self, page: ArchivedPage) -> FetchPath | None:
        context = self._contexts.get(page.site)
        if context is None:
            return None
        known = context.settings.nodes.get(page.owner)
        if known is not None and known.direct:
            return FetchPath(direct=known.direct, route=f"direct {page.owner}")
        route = self._routes.current(page.site, page.owner, self._now())
        return None if route is None else FetchPath(route.cookies, route=f"own {page.owner}")

    def _confirm(self, page: ArchivedPage, path: FetchPath) -> Deferred[bool]:
        return self._confirmations.confirm(self._contexts[page.site].fetcher, page.owner, page.token, path)

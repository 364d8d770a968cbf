"""One run of the demo: starts the farm, sends visitors and follows each page view to its outcome."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lbcompanion.demo.configs import COOKIE
from lbcompanion.demo.crawler_api import APIFailed, CrawlerAPI, Recording, VisitCheck
from lbcompanion.demo.farm import DemoFarm
from lbcompanion.demo.farm import Reactor as FarmReactor
from lbcompanion.demo.visitors import Visit, Visitor

_NAMES = ("anna", "bela", "carla", "dora", "emil", "fritz", "gerda", "hans", "ida", "jan", "karla", "lena")
_ONCE_PAUSE_SECONDS = 0.02
_LIVE_PAUSE_SECONDS = (1.5, 5.0)
_POLL_SECONDS = 0.25
_WAIT_SECONDS = 30.0
_GIVE_UP_SECONDS = 25
_DEPLOY_EVERY_SECONDS = 25.0
_DEPLOY_SECONDS = 4.0
#: In a demo without end, only this number of the latest visits wait for their outcome.
_MAX_WAITING = 100


class DemoSession:
    """One run of the demo.

    :param balancer: as :func:`lbcompanion.demo.balancer_choice.choose_balancer` returns it.
    :param durable: whether copies survive a restart of their node.
    :param on_outcome: called for each visit whose outcome is known.
    """

    def __init__(
        self,
        *,
        nodes: int,
        balancer: str,
        durable: bool,
        reactor: FarmReactor,
        on_outcome: Callable[[VisitCheck], None],
    ) -> None:
        self._reactor = reactor
        self._on_outcome = on_outcome
        self._folder = Path(tempfile.mkdtemp(prefix="lbcompanion-demo-"))
        self.farm = DemoFarm(nodes, balancer, self._folder, _GIVE_UP_SECONDS, durable=durable, reactor=reactor)
        self._nodes = nodes
        self._visitor_count = max(3, min(2 * nodes, len(_NAMES)))
        self._visits: dict[str, Visit] = {}
        self._checks: dict[str, VisitCheck] = {}
        self._crawler_api: CrawlerAPI | None = None
        self._closing: list[Deferred[None]] | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the farm."""
        await self.farm.start()
        self._crawler_api = CrawlerAPI(self.farm.api_url, self._reactor)

    def close(self) -> Deferred[None]:
        """Stop the farm and remove its files, once; every caller's Deferred fires at the end."""
        waiter: Deferred[None] = Deferred()
        if self._closed:
            waiter.callback(None)
        elif self._closing is not None:
            self._closing.append(waiter)
        else:
            self._closing = [waiter]
            Deferred.fromCoroutine(self._close())
        return waiter

    def closing(self) -> bool:
        """Return whether closing has begun."""
        return self._closing is not None

    async def _close(self) -> None:
        try:
            await self.farm.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._closed = True
            for waiter in self._closing or ():
                waiter.callback(None)

    async def once(self, visits: int) -> list[VisitCheck]:
        """Send visitors for this number of page views, and wait for the outcome of each."""
        numbers = iter(range(1, visits + 1))
        all_visitors = self._start_visitors(numbers, lambda: _ONCE_PAUSE_SECONDS, min(visits, self._visitor_count))
        results: list[object] = []
        all_visitors.addBoth(results.append)
        end = 0.0
        while not results or (len(self._checks) < visits and self._reactor.seconds() < end):
            if not results:
                end = self._reactor.seconds() + _WAIT_SECONDS
            await self._collect_outcomes()
            await deferLater(self._reactor, _POLL_SECONDS)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        for visit in list(self._visits.values()):
            self._report_outcome(self._make_check(visit, {}, problem="no outcome in time"))
        return [self._checks[key] for key in sorted(self._checks, key=int)]

    async def live(self, announce: Callable[[str], None]) -> None:
        """Send visitors at a low rate until the session is closed.

        :param announce: called with a sentence when the farm changes.
        """
        random = Random()
        self._start_visitors(count(1), lambda: random.uniform(*_LIVE_PAUSE_SECONDS), self._visitor_count)
        deploying = Deferred.fromCoroutine(self._deploy(announce))
        deploying.addErrback(lambda failure: announce(f"the deploy failed: {failure.getErrorMessage()}"))
        while not self.closing():
            await self._collect_outcomes()
            self._checks.clear()
            for visit in list(self._visits.values())[:-_MAX_WAITING]:
                self._report_outcome(self._make_check(visit, {}, problem="no outcome in time"))
            await deferLater(self._reactor, _POLL_SECONDS)

    async def _deploy(self, announce: Callable[[str], None]) -> None:
        """Rolling deploy: stop one node after the other for some seconds; does nothing with a single node."""
        for deploy_number in count() if self._nodes > 1 else ():
            await deferLater(self._reactor, _DEPLOY_EVERY_SECONDS)
            number = deploy_number % self._nodes
            name = self.farm.plan.nodes[number].name
            version = f"{name}-1.{1 + deploy_number // self._nodes}"
            if self.closing():
                return
            announce(f"{name} is stopped for a deploy: its visitors log in again elsewhere, its copies wait for it")
            await self.farm.stop_node(number)
            await deferLater(self._reactor, _DEPLOY_SECONDS)
            if self.closing():
                return
            await self.farm.start_node(number, version)
            announce(f"{name} is back with version {version}")

    def _start_visitors(
        self, numbers: Iterator[int], pause: Callable[[], float], visitor_count: int
    ) -> Deferred[list[None]]:
        visitors = [Deferred.fromCoroutine(self._run_visitor(name, numbers, pause)) for name in _NAMES[:visitor_count]]
        return gatherResults(visitors)

    async def _run_visitor(self, name: str, numbers: Iterator[int], pause: Callable[[], float]) -> None:
        """Let one visitor view pages."""
        visitor = Visitor(name, self.farm.plan.origin, (COOKIE,), Random(name), self._reactor)
        for number in numbers:
            await deferLater(self._reactor, pause())
            if self.closing():
                break
            try:
                visit = await visitor.view_next(str(number))
            except Exception as failure:
                # A failed visit is a result to report, and no reason to end the demo.
                failed_visit = Visit(str(number), name, "", "", 0, "", "", 0)
                self._report_outcome(
                    VisitCheck(failed_visit, None, {}, problem=f"the visit failed: {failure or type(failure).__name__}")
                )
            else:
                self._visits[visit.token] = visit
        await visitor.close()

    async def _collect_outcomes(self) -> None:
        """Report the visits whose outcome has become known."""
        if self._crawler_api is None or not self._visits or self.closing():
            return
        finished = await self._crawler_api.finished(self._visits.keys())
        for token, recording in finished.items():
            await self._check(self._visits[token], recording)

    async def _check(self, visit: Visit, recording: Recording) -> None:
        check = self._make_check(visit, recording)
        if recording["outcome"] == "archived" and self._crawler_api is not None:
            try:
                archived = await self._crawler_api.archived_sha256(visit.token)
            except APIFailed as failure:
                check = evolve(check, problem=str(failure))
            else:
                check = evolve(check, archived_sha256=archived)
        self._report_outcome(check)

    def _make_check(self, visit: Visit, recording: Recording, problem: str = "") -> VisitCheck:
        pages = self.farm.served_pages.served(visit.id)
        owner = recording.get("origin_node")
        owner_page = self.farm.served_pages.page_of(visit.id, str(owner)) if owner else None
        return VisitCheck(visit, owner_page or (pages[-1] if pages else None), recording, problem=problem)

    def _report_outcome(self, check: VisitCheck) -> None:
        self._visits.pop(check.visit.token, None)
        if not self.closing():
            self._checks[check.visit.id] = check
            self._on_outcome(check)

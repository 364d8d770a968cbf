"""Sends outcomes to one webhook: in order, at least once, from one crawler of the queue at a time.

A request has some outcomes. The next one is sent when the webhook has accepted it. How far it got is in the database,
so a restart, or another crawler, continues there. A webhook that fails is asked again after longer and longer pauses,
for as long as its outcomes are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.crawler.fetching.site_pause import asks_for_fewer, retry_after_seconds
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.crawler.queue.outcomes import Extent, Outcomes, Position
from lbcompanion.crawler.queue.turns import Turns
from lbcompanion.crawler.queue.webhook_table import WebhookState, WebhookTable
from lbcompanion.crawler.threads import NotRunning
from lbcompanion.errors import CompanionError, SignatureRefused
from lbcompanion.model import WallClock
from lbcompanion.protocol.signatures import WEBHOOK_KEY_ID, Signer
from lbcompanion.settings import WebhookSettings

#: The first pause after a failure; each further one is twice as long, up to ``max_pause_seconds``.
FIRST_PAUSE_SECONDS = 1.0
#: From this number of failures in a row on, health reports the webhook.
REPORTED_FAILURES = 3
#: When to look again whether another crawler still sends.
OTHERS_TURN_SECONDS = 5.0
#: A turn lasts this much longer than a request may.
_TURN_SECONDS = 20.0
#: The largest body of an answer.
_MAX_ANSWER_BYTES = 65536
#: How often one call on the database's thread looks for outcomes that a webhook wants: the crawl uses that thread too.
_MOST_READS = 4
#: The number of unwanted outcomes that the sender passes before it writes its position.
_MOST_UNWRITTEN = 1000
#: The pause after a failure of the database, and after a defect.
_DATABASE_PAUSE_SECONDS, _DEFECT_PAUSE_SECONDS = 5.0, 300.0

#: Makes the body of a request to the webhook of a name.
WriteBody = Callable[[str, "Batch"], bytes]


@frozen
class Batch:
    """The outcomes of one request.

    :ivar state: the webhook's state before it.
    :ivar rows: number and row of each recording.
    :ivar position: the webhook's position after it.
    :ivar missed: whether outcomes before these are not kept any more.
    :ivar has_more: whether there are further outcomes to read although this batch has no rows.
    """

    state: WebhookState
    rows: tuple[tuple[int, Any], ...]
    position: Position
    missed: bool = False
    has_more: bool = False


class _Refused(CompanionError):
    """The webhook did not accept a request.

    :ivar pause_seconds: the pause that it asked for, or 0.
    """

    def __init__(self, why: str, pause_seconds: float = 0.0) -> None:
        self.pause_seconds = pause_seconds
        super().__init__(why)


@frozen
class SenderParts:
    """The parts that the senders of all webhooks share.

    :ivar defer: runs calls on the thread of the database.
    :ivar nonce: returns an unguessable text for one request.
    :ivar jitter: returns a random number from 0 to 1.
    :ivar log_first: writes a line into the audit log before the first request.
    """

    outcomes: Outcomes
    table: WebhookTable
    turns: Turns
    defer: Callable[..., Deferred[Any]]
    reactor: IReactorTime
    now: WallClock
    nonce: Callable[[], str]
    jitter: Callable[[], float]
    metrics: CrawlerMetrics
    health: Health
    write_body: WriteBody
    log_first: Callable[[str], Coroutine[Any, Any, object]]


class WebhookSender:
    """The sender of one webhook, at one crawler."""

    def __init__(self, settings: WebhookSettings, client: Client, parts: SenderParts) -> None:
        self._settings = settings
        self._client = client
        self._parts = parts
        self._signer = Signer(settings.secret, WEBHOOK_KEY_ID)
        self._turn = f"webhook {settings.name}"
        self._topic = f"the webhook {settings.name} does not accept outcomes"
        self._filters = Filters(sites=settings.sites, outcome=settings.outcome)
        #: All outcomes up to this position are sent or not wanted: there is nothing to do until others come.
        self._checked_to: Position | None = None
        self._not_before = float("-inf")
        self._is_logged = self._has_stopped = self._has_turn = False
        self._running: Deferred[None] | None = None
        self._log = Logger(namespace="lbcompanion.crawler.webhooks")

    def look(self, extent: Extent) -> None:
        """Send outcomes, unless all up to the end of the extent are sent."""
        if self._running is not None or self._has_stopped or self._checked_to == extent.end:
            return
        if self._parts.reactor.seconds() < self._not_before:
            return
        running = self._running = Deferred.fromCoroutine(self._send_all(extent))
        running.addErrback(self._on_failed)
        running.addBoth(self._on_end)

    def stop(self) -> Deferred[None]:
        """Send no more; fires when the running request is cancelled and the turn is over."""
        self._has_stopped = True
        if self._running is not None:
            self._running.cancel()
        return Deferred.fromCoroutine(self._end_turn())

    async def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            try:
                await self._parts.defer(self._parts.turns.end, self._turn)
            except (BacklogError, NotRunning):
                return  # it ends by itself

    def _on_end(self, _result: object) -> None:
        self._running = None

    def _on_failed(self, failure: Any) -> None:
        if failure.check(BacklogError, NotRunning, CancelledError):
            self._wait(_DATABASE_PAUSE_SECONDS)
            return
        self._wait(_DEFECT_PAUSE_SECONDS)
        self._log.failure("the webhook {name}: a defect", failure=failure, name=self._settings.name)

    async def _send_all(self, extent: Extent) -> None:
        """Send all outcomes, until the webhook fails or another crawler has the turn."""
        parts, name = self._parts, self._settings.name
        while not self._has_stopped:
            # Also if this is cancelled: the database's thread takes the turn all the same.
            self._has_turn = True
            self._has_turn = await parts.defer(
                parts.turns.take, self._turn, self._settings.timeout_seconds + _TURN_SECONDS
            )
            if not self._has_turn:
                parts.health.works(self._topic)  # the other crawler reports it
                self._wait(OTHERS_TURN_SECONDS)
                return
            batch = await parts.defer(self._next_batch)
            parts.metrics.set_webhook_waiting(name, count_waiting(batch.state.position, extent))
            if batch.state.wait_seconds:
                self._wait(batch.state.wait_seconds)
                return
            if batch.has_more:
                continue
            if not batch.rows and not batch.missed:
                self._checked_to = batch.position
                return
            if not await self._send(batch):
                return

    def _next_batch(self) -> Batch:
        """Read the outcomes that are to be sent next. Blocking."""
        table, outcomes, name = self._parts.table, self._parts.outcomes, self._settings.name
        state = table.states([name]).get(name)
        if state is None:
            raise BacklogError(f"the state of the webhook {name} is gone")
        position = state.position
        if state.wait_seconds:
            return Batch(state, (), position)
        for _ in range(_MOST_READS):
            found = outcomes.read(position, self._filters, self._settings.max_events)
            if found.rows or found.missed:
                return Batch(state, found.rows, found.position, found.missed)
            is_end, position = found.position == position, found.position
            if is_end:
                break
        # The next call begins at the written position.
        has_more = not is_end
        if has_more or position.number - state.position.number >= _MOST_UNWRITTEN:
            table.skipped(name, state.position, position)
        return Batch(state, (), position, has_more=has_more)

    async def _send(self, batch: Batch) -> bool:
        """Send a request; return whether it was accepted."""
        parts, name = self._parts, self._settings.name
        try:
            if not self._is_logged:
                await parts.log_first(f"webhook {name}")
                self._is_logged = True
            await self._post(parts.write_body(name, batch))
        except CompanionError as failure:
            if isinstance(failure, BacklogError | NotRunning):
                raise
            await self._note_failure(batch, failure)
            return False
        parts.metrics.count_webhook(name, len(batch.rows))
        parts.health.works(self._topic)
        # If another crawler has sent the same meanwhile, its position counts.
        await parts.defer(parts.table.accepted, name, batch.state.position, batch.position)
        return True

    async def _post(self, body: bytes) -> None:
        settings, now = self._settings, self._parts.now()
        signed = self._signer.sign("POST", settings.url, self._parts.nonce(), now, body)
        headers = [("Content-Type", "application/json"), *signed]
        reply: Reply = await self._client.ask("POST", settings.url, headers, _MAX_ANSWER_BYTES, body=body)
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            asked = retry_after_seconds(reply, self._parts.now()) if asks_for_fewer(reply) else None
            raise _Refused(f"status {reply.status}", asked or 0.0)

    async def _note_failure(self, batch: Batch, failure: CompanionError) -> None:
        parts, name, most = self._parts, self._settings.name, self._settings.max_pause_seconds
        failures = batch.state.failures + 1
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30), most) * (0.5 + parts.jitter() / 2)
        if isinstance(failure, _Refused):
            pause = max(pause, min(failure.pause_seconds, most))
        why = _reason(failure)
        parts.metrics.count_webhook(name, None)
        if failures >= REPORTED_FAILURES:
            parts.health.failed(self._topic, f"{why}; {failures} requests to {self._host} failed; see its program")
        self._wait(pause)
        await parts.defer(parts.table.failed, name, why, failures, pause)

    @property
    def _host(self) -> str:
        """The webhook's host; the rest of its URL may be secret."""
        return urlsplit(self._settings.url).hostname or ""

    def _wait(self, seconds: float) -> None:
        self._not_before = self._parts.reactor.seconds() + seconds


def _reason(failure: CompanionError) -> str:
    if isinstance(failure, FetchFailed):
        return f"no answer: {failure.word}"
    if isinstance(failure, SignatureRefused):
        return "the request cannot be signed"  # the text may have the URL
    return str(failure)


def count_waiting(position: Position, extent: Extent) -> int:
    """Return how many outcomes are kept after a position."""
    return (
        max(0, extent.last - max(position.number, extent.deleted))
        if position.queue == extent.queue
        else (extent.last - extent.deleted)
    )

"""Sends notices from the spool to a crawler's intake until one accepts or finally refuses each of them.

Several intakes belong to crawlers that share a queue. Any of them may get a notice. If two get the same notice, the
queue stores it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from lbcompanion.errors import StoreError
from lbcompanion.model import Loss, Notice, WallClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.headers import AUTHORITY
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.web import BodyTooLarge, BytesProducer, IdentifyingAgent, connection_pool, read_body

_BATCH = 100
# Each loss is short.
_LOSSES_PER_REQUEST = 5000
_TIMEOUT_SECONDS = 20.0
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STOP_SECONDS = 2.0
#: For how many seconds the other intakes are preferred after an intake failed.
_AVOID_SECONDS = 60.0
#: With these statuses the intake has decided about the delivery. Any other status means that the intake failed.
_DECIDED = frozenset({202, 400, 413})
_STEP_SECONDS = 0.02
#: The limit of a response body; only the status is used.
_ANSWER_BYTES = 65536


class NoticeSender:
    """Sends queued notices to an intake, with exponential backoff while no intake can be reached.

    :param intakes: the crawlers' origins, the preferred one first; at least one.
    """

    def __init__(
        self,
        *,
        intakes: Sequence[str],
        secret: bytes,
        spool: Spool,
        reactor: Any,
        nonces: Callable[[], str],
        now: WallClock,
        counters: Counters,
        log: Callable[[str, str], None],
    ) -> None:
        self._intakes = tuple(intakes)
        self._not_before = dict.fromkeys(self._intakes, 0.0)
        self._signer = Signer(secret)
        self._spool = spool
        self._reactor = reactor
        self._nonces = nonces
        self._now = now
        self._counters = counters
        self._log = log
        self._pool = connection_pool(reactor, persistent=True)
        self._client = HTTPClient(IdentifyingAgent(Agent(reactor, connectTimeout=5, pool=self._pool)))
        self._delivery: Deferred[Any] | None = None
        self._next_start: IDelayedCall | None = None
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._more_waiting = False
        self._stopped = False
        #: Why notices are not delivered now; empty while they are.
        self.trouble = ""
        self._event = ""
        #: The intake that took the last delivery; empty before the first one.
        self.intake = ""

    @property
    def reachable(self) -> bool:
        """Whether the last delivery was accepted."""
        return not self.trouble

    def wake(self) -> None:
        """Send queued notices soon, unless a delivery or a backoff is in progress."""
        self._more_waiting = True
        if self._delivery is None and self._next_start is None and not self._stopped:
            # A short delay collects the notices of a burst in one request.
            self._next_start = self._reactor.callLater(0.05, self._start)

    def _start(self) -> None:
        self._next_start = None
        self._more_waiting = False
        # Assigned before the callbacks are added: a delivery may end at once.
        delivery = self._delivery = Deferred.fromCoroutine(self._deliver())
        delivery.addErrback(self._delivery_failed).addErrback(lambda _: False).addCallback(self._delivery_ended)

    async def _deliver(self) -> bool:
        while not self._stopped:
            # Both reads are queued together, so that the spool's thread runs them in one transaction.
            notices_read, losses_read = self._spool.oldest(_BATCH), self._spool.losses(_LOSSES_PER_REQUEST)
            try:
                waiting = await notices_read
            except StoreError:
                # Both fail; nobody waits for the second any more.
                losses_read.addErrback(lambda _: None)
                raise
            losses = await losses_read
            if not waiting and not losses:
                return True
            status = await self._post_to_any([notice for _, notice in waiting], losses)
            if status == 202:
                await self._remove_delivered(waiting, losses)
                self._accepted()
                continue
            if status in _DECIDED:
                # A notice that the crawler cannot read must not block the others.
                status = await self._deliver_singly(waiting, losses)
                if status == 202:
                    self._accepted()
                    continue
            self._refused(status)
            return False
        return False

    async def _remove_delivered(self, waiting: list[tuple[int, Notice]], losses: list[Loss]) -> None:
        if waiting:
            await self._spool.remove([number for number, _ in waiting])
            self._counters.notices["delivered"] += len(waiting)
        if losses:
            await self._spool.remove_losses(losses)
            self._counters.notices["losses delivered"] += len(losses)

    async def _deliver_singly(self, waiting: list[tuple[int, Notice]], losses: list[Loss]) -> int:
        """Send them one by one; 202 after each was accepted or finally refused, else the status that stopped it."""
        if losses:
            status = await self._post_to_any([], losses)
            if status not in _DECIDED:
                return status
            self._counters.notices["losses delivered" if status == 202 else "refused by crawler"] += len(losses)
            await self._spool.remove_losses(losses)
        for number, notice in waiting:
            status = await self._post_to_any([notice])
            if status not in _DECIDED:
                return status
            self._counters.notices["delivered" if status == 202 else "refused by crawler"] += 1
            await self._spool.remove([number])
        return 202

    async def _post_to_any(self, notices: list[Notice], losses: Sequence[Loss] = ()) -> int:
        """Post to the intakes, one after another, until one answers as an intake should; the last status.

        An intake that failed a short time ago comes after the others.
        """
        body = write_notices(notices, losses)
        status, failure = 0, None
        now = self._reactor.seconds()
        for intake in sorted(self._intakes, key=lambda each: self._not_before[each] > now):
            try:
                status = await self._post(intake, body)
            except CancelledError:
                raise
            except Exception as error:  # of many classes: the network's, TLS's, HTTP's
                failure = error
            else:
                failure = None
                if status in _DECIDED:
                    self._use(intake)
                    return status
            self._not_before[intake] = self._reactor.seconds() + _AVOID_SECONDS
            if self._stopped:
                break
        if failure is not None:
            raise failure
        return status

    def _use(self, intake: str) -> None:
        self._not_before[intake] = 0.0
        before, self.intake = self.intake, intake
        if before not in {"", intake}:
            self._log("notices go to another crawler", intake)

    async def _post(self, intake: str, body: bytes) -> int:
        url = intake.rstrip("/") + "/notices"
        headers = Headers()
        for name, value in self._signer.sign("POST", url, self._nonces(), self._now(), body):
            headers.addRawHeader(name, value)
        headers.addRawHeader(AUTHORITY.text, urlsplit(url).netloc)
        headers.addRawHeader("Content-Type", "application/json")
        response = await self._client.post(
            url,
            data=BytesProducer(body),
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            timeout=_TIMEOUT_SECONDS,
            reactor=self._reactor,
        )
        with suppress(BodyTooLarge):  # only the status is used
            await read_body(response, _ANSWER_BYTES).addTimeout(_TIMEOUT_SECONDS, self._reactor)
        code: int = response.code
        return code

    def _delivery_failed(self, failure: Failure) -> bool:
        # The spool itself says that it fails: the crawler was not asked.
        if not failure.check(StoreError):
            why = failure.type.__name__ if failure.type else "failed"
            self._set_trouble("crawler not reached", why, "the crawler cannot be reached; notices wait")
        return False

    def _refused(self, status: int) -> None:
        if status in {401, 403}:
            why = f"the crawler refuses the signature ({status}): another farm secret?"
            self._set_trouble("crawler refuses notices", why, f"{why} Notices wait")
        else:
            why = f"the intake answered {status}"
            self._set_trouble("crawler not reached", why, f"the crawler does not take notices: {why}; notices wait")

    def _accepted(self) -> None:
        if self.trouble:
            self.trouble = self._event = ""
            self._log("crawler reached again", "")

    def _set_trouble(self, event: str, why: str, trouble: str) -> None:
        """Log a change; the same trouble for another reason is not logged again."""
        self.trouble = trouble
        if event != self._event:
            self._event = event
            self._log(event, why)

    def _delivery_ended(self, all_delivered: bool) -> None:  # noqa: FBT001 - a callback
        self._delivery = None
        if self._stopped:
            return
        if all_delivered:
            self._wait_seconds = _FIRST_WAIT_SECONDS
            if self._more_waiting:
                self.wake()
            return
        self._next_start = self._reactor.callLater(self._wait_seconds, self._start)
        self._wait_seconds = min(self._wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    async def flush(self, seconds: float) -> None:
        """Send all queued notices without a delay; return after success, failure or ``seconds``."""
        deadline = self._reactor.seconds() + seconds
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None
        self._more_waiting = True
        if self._delivery is None and not self._stopped:
            self._start()
        while (
            self._delivery is not None or (self._more_waiting and self.reachable)
        ) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _STEP_SECONDS, lambda: None)

    def stop(self) -> Deferred[None]:
        """Stop sending; queued notices stay in the spool. Fires when no request is in progress."""
        self._stopped = True
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None
        stopped: Deferred[None] = Deferred()
        if self._delivery is None:
            stopped.callback(None)
        else:
            # A crawler that does not answer must not delay the stop; the cancelled request is sent again later.
            cancel_call = self._reactor.callLater(_STOP_SECONDS, self._delivery.cancel)

            def ended(_: object) -> None:
                if cancel_call.active():
                    cancel_call.cancel()
                stopped.callback(None)

            self._delivery.addBoth(ended)
        return stopped.addCallback(lambda _: self._pool.closeCachedConnections())

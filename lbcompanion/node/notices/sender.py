"""Notices from the spool to the crawler's intake, each until the crawler took it or refused it for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from lbcompanion.model import Loss, Notice, WallClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.web import BodyTooLarge, BytesProducer, read_body

_BATCH = 100
# Of lost copies, which are said in a few words each.
_LOSSES = 5000
_TIMEOUT_SECONDS = 20.0
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STOP_SECONDS = 2.0
_STEP_SECONDS = 0.02
#: So much of the body of an answer is read: its status says all.
_ANSWER_BYTES = 65536


class NoticeSender:
    """Brings waiting notices to the crawler's intake; waits longer and longer while it cannot be reached."""

    def __init__(
        self,
        *,
        intake: str,
        secret: bytes,
        spool: Spool,
        reactor: Any,
        nonces: Callable[[], str],
        now: WallClock,
        counters: Counters,
        log: Callable[[str, str], None],
    ) -> None:
        self._url = intake.rstrip("/") + "/notices"
        self._signer = Signer(secret)
        self._spool = spool
        self._reactor = reactor
        self._nonces = nonces
        self._now = now
        self._counters = counters
        self._log = log
        self._pool = HTTPConnectionPool(reactor)
        self._client = HTTPClient(Agent(reactor, connectTimeout=5, pool=self._pool))
        self._delivery: Deferred[Any] | None = None
        self._next_start: IDelayedCall | None = None
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._more_waiting = False
        self._stopped = False
        self.reachable = True

    def wake(self) -> None:
        """Something waits: deliver it soon, unless a delivery or a pause is under way."""
        self._more_waiting = True
        if self._delivery is None and self._next_start is None and not self._stopped:
            # A moment's wait lets the notices of a burst travel together.
            self._next_start = self._reactor.callLater(0.05, self._start)

    def _start(self) -> None:
        self._next_start = None
        self._more_waiting = False
        # Known before its end is waited for: a delivery that ends at once must not be taken for one under way.
        delivery = self._delivery = Deferred.fromCoroutine(self._deliver())
        delivery.addErrback(self._delivery_failed).addCallback(self._delivery_ended)

    async def _deliver(self) -> bool:
        while not self._stopped:
            # Asked for together, so that the spool's thread answers together.
            notices_read, losses_read = self._spool.oldest(_BATCH), self._spool.losses(_LOSSES)
            waiting, losses = await notices_read, await losses_read
            if not waiting and not losses:
                return True
            status = await self._post([notice for _, notice in waiting], losses)
            if status == 202:
                await self._remove_delivered(waiting, losses)
                self._set_reachable(True, "")
                continue
            if status in {400, 413}:
                # One that the crawler cannot read must not hold up the others.
                status = await self._deliver_singly(waiting, losses)
                if status == 202:
                    continue
            self._set_reachable(False, f"the intake answered {status}")
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
        """202 once the crawler took, or refused for good, each of them; else what it answered instead."""
        if losses:
            status = await self._post([], losses)
            if status not in {202, 400, 413}:
                return status
            self._counters.notices["losses delivered" if status == 202 else "refused by crawler"] += len(losses)
            await self._spool.remove_losses(losses)
        for number, notice in waiting:
            status = await self._post([notice])
            if status not in {202, 400, 413}:
                return status
            self._counters.notices["delivered" if status == 202 else "refused by crawler"] += 1
            await self._spool.remove([number])
        return 202

    async def _post(self, notices: list[Notice], losses: Sequence[Loss] = ()) -> int:
        body = write_notices(notices, losses)
        headers = Headers()
        for name, value in self._signer.sign("POST", self._url, self._nonces(), self._now(), body):
            headers.addRawHeader(name, value)
        headers.addRawHeader("Content-Type", "application/json")
        response = await self._client.post(
            self._url,
            data=BytesProducer(body),
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            timeout=_TIMEOUT_SECONDS,
            reactor=self._reactor,
        )
        with suppress(BodyTooLarge):  # the status says all
            await read_body(response, _ANSWER_BYTES).addTimeout(_TIMEOUT_SECONDS, self._reactor)
        code: int = response.code
        return code

    def _delivery_failed(self, failure: Failure) -> bool:
        self._set_reachable(False, failure.type.__name__ if failure.type else "failed")
        return False

    def _set_reachable(self, reached: bool, why: str) -> None:
        if reached != self.reachable:
            self.reachable = reached
            self._log("crawler reached again" if reached else "crawler not reached", why)

    def _delivery_ended(self, all_delivered: bool) -> None:
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
        """Deliver what waits, without a pause before; returns once that is done, or failed, or for so long at most."""
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
        """Deliver no more; what waits stays in the spool. Fires once nothing is under way."""
        self._stopped = True
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None
        done: Deferred[None] = Deferred()
        if self._delivery is None:
            done.callback(None)
        else:
            # A crawler that does not answer must not hold up the end; what was under way will be sent again.
            cancel_call = self._reactor.callLater(_STOP_SECONDS, self._delivery.cancel)

            def ended(_: object) -> None:
                if cancel_call.active():
                    cancel_call.cancel()
                done.callback(None)

            self._delivery.addBoth(ended)
        return done.addCallback(lambda _: self._pool.closeCachedConnections())

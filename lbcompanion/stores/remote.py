"""The common part of stores outside this process: they pass requests in batches to one thread, and reconnect.

A provider supplies a :class:`RemoteBackend`, the only part that knows the server.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.errors import StoreError, StoreUnreachable
from lbcompanion.model import Miss, MonotonicClock, Page, WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores.expiry import check_size
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.threads import BatchQueue, DeferToThread

#: How many bytes of bodies may wait for a slow server or disk. Beyond that, new copies are refused, to bound memory.
WAITING_BYTES = 64 * 1024 * 1024
#: How long an unreachable server is left alone; requests in this time fail at once.
BACKOFF_SECONDS = 1.0


#: The requests to a store, a word for each method (``find`` is ``peek``, ``url`` is ``url_of``).
Verb = Literal["put", "find", "url", "take", "sent", "drop", "mark", "sweep", "tokens", "stats"]


@frozen
class Request:
    """One request to a store.

    :ivar now: time of the request, in seconds since the epoch; for ``put``, the time since which the copy is stored.
    :ivar token: the copy's token; empty for a request about all copies.
    :ivar page: the copy to store, for ``put`` only.
    :ivar miss: the tombstone, for ``mark`` only.
    """

    verb: Verb
    now: float
    token: str = ""
    page: Page | None = None
    miss: Miss | None = None


class RemoteBackend(ABC):
    """A server or a file behind one connection, which one thread at a time uses.

    After a broken connection, reconnect and repeat the requests once. If a new connection cannot reach the server
    either, leave the server alone for :data:`BACKOFF_SECONDS`.

    :ivar backoff_seconds: how long to leave an unreachable server alone; tests set it.
    :ivar monotonic: the clock for that time; tests set it.
    """

    def __init__(self) -> None:
        self.backoff_seconds = BACKOFF_SECONDS
        self.monotonic: MonotonicClock = time.monotonic
        self._backoff: tuple[float, StoreUnreachable] | None = None

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether there is a connection. It may be broken without our knowledge."""

    @abstractmethod
    def attempt(self, requests: Sequence[Request]) -> list[object]:
        """Execute the requests once; connect first if necessary.

        :returns: for each request, its result or a ``StoreError``.
        :raises StoreUnreachable: if the connection or the server as a whole failed, rather than one request.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Close the connection, if there is one; the next attempt connects again."""

    def run(self, requests: Sequence[Request]) -> list[object]:
        """Execute the requests, with one reconnection.

        :returns: for each request, its result or a ``StoreError``.
        """
        if self._backoff is not None and self.monotonic() < self._backoff[0]:
            return [self._backoff[1]] * len(requests)
        try:
            return self._attempt_reconnecting(requests)
        except StoreUnreachable as error:
            self._backoff = (self.monotonic() + self.backoff_seconds, error)
            return [error] * len(requests)

    def _attempt_reconnecting(self, requests: Sequence[Request]) -> list[object]:
        was_open = self.is_open
        try:
            return self.attempt(requests)
        except StoreUnreachable:
            self.disconnect()
            if not was_open:
                raise
        # The server may have closed the connection before: after a restart, or because it was idle.
        try:
            return self.attempt(requests)
        except StoreUnreachable:
            self.disconnect()
            raise


@implementer(IPageStore)
class BatchedStore:
    """A store outside this process. It connects at the first request, so a node starts even while the server is down.

    :param now: seconds since the epoch.
    :param defer_to_thread: runs the blocking work; never called again before the previous work has ended.
    """

    def __init__(
        self, backend: RemoteBackend, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread
    ) -> None:
        self.backend = backend
        self._settings = settings
        self._now = now
        self._queue: BatchQueue[Request] = BatchQueue(backend.run, defer_to_thread)
        self._waiting_bytes = 0

    def put(self, page: Page) -> Deferred[None]:
        """Store a copy; fires when the server has it. Fails also when too many bytes wait already."""
        size = page.size
        try:
            check_size(self._settings, size)
            if self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES:
                raise StoreError("the store is too slow: too many copies wait for it")
        except StoreError as error:
            return fail(error)
        self._waiting_bytes += size
        # Return a second Deferred: cancelling it must not cancel the write.
        result: Deferred[None] = Deferred()
        now = self._now()
        stored_at = now if page.kept_at is None else min(page.kept_at, now)
        queued: Deferred[None] = self._queue.submit(Request("put", stored_at, page.token, page))
        queued.addBoth(self._release_waiting_bytes, size).chainDeferred(result)
        return result

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """Return the copy, or a miss with the reason."""
        return self._submit("find", token)

    def url_of(self, token: str) -> Deferred[str]:
        """Return the URL of a copy; empty if there is none."""
        return self._submit("url", token)

    def take(self, token: str) -> Deferred[Page | Miss]:
        """Return the copy, or a miss with the reason; a copy that was sent counts as not sent."""
        return self._submit("take", token)

    def sent(self, token: str) -> Deferred[None]:
        """Record that the copy was sent completely."""
        return self._submit("sent", token)

    def drop(self, token: str) -> Deferred[bool]:
        """Remove a copy that the crawler has archived, if ``delete_after_pull`` says so."""
        return self._submit("drop", token)

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """Write a tombstone, unless there is a copy with this token."""
        return self._submit("mark", token, miss=miss)

    def sweep(self) -> Deferred[int]:
        """Remove expired copies."""
        return self._submit("sweep")

    def tokens(self) -> Deferred[list[str]]:
        """Return the tokens of all valid copies, oldest first."""
        return self._submit("tokens")

    def stats(self) -> Deferred[dict[str, int]]:
        """Return the present numbers (of all nodes that share the store), and this process's counters."""
        return self._submit("stats")

    def close(self) -> Deferred[None]:
        """Finish the waiting requests, then disconnect."""
        return self._queue.close(self.backend.disconnect)

    def _submit(self, verb: Verb, token: str = "", miss: Miss | None = None) -> Deferred[Any]:
        return self._queue.submit(Request(verb, self._now(), token, miss=miss))

    def _release_waiting_bytes(self, result: Failure | None, size: int) -> Failure | None:
        self._waiting_bytes -= size
        return result

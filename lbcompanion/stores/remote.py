"""What all stores outside this process share: their verbs, handed on in batches to one thread; and how a connection is
made anew.

A provider brings an :class:`RemoteBackend`, which is all that knows the server.
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

#: Bodies that may wait for a slow server or disk before further ones are refused, so that memory stays bounded.
WAITING_BYTES = 64 * 1024 * 1024
#: How long nothing is asked of a server that could not be reached; what is asked meanwhile fails at once.
BACKOFF_SECONDS = 1.0


#: What can be asked of a store, one word for each of its methods (``take`` is ``find`` too).
Verb = Literal["put", "find", "sent", "drop", "mark", "sweep", "tokens", "stats"]


@frozen
class Request:
    """One thing to do.

    :ivar now: when it was asked, in seconds since the epoch; of a copy that is kept since before, since when.
    :ivar token: the copy that it is about; empty for what is about all.
    :ivar page: the copy to keep, for ``put`` only.
    :ivar miss: the tombstone's, for ``mark`` only.
    """

    verb: Verb
    now: float
    token: str = ""
    page: Page | None = None
    miss: Miss | None = None


class RemoteBackend(ABC):
    """A server, or a file, behind one connection, which is used by one thread at a time.

    A connection that broke is made anew, and what was asked of it asked again, once. A server that a fresh connection
    cannot reach is left alone for :data:`BACKOFF_SECONDS`.

    :ivar backoff_seconds: how long.
    :ivar monotonic: seconds of any start.
    """

    def __init__(self) -> None:
        self.backoff_seconds = BACKOFF_SECONDS
        self.monotonic: MonotonicClock = time.monotonic
        self._backoff: tuple[float, StoreUnreachable] | None = None

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""

    @abstractmethod
    def attempt(self, requests: Sequence[Request]) -> list[object]:
        """Do all of them, on a connection that is opened where there is none.

        :returns: a result or a ``StoreError`` for each.
        :raises StoreUnreachable: where the connection is to blame, or the server as a whole, not one of the requests.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Close the connection, if there is one; the next attempt opens it again."""

    def run(self, requests: Sequence[Request]) -> list[object]:
        """Do all of them.

        :returns: a result or a ``StoreError`` for each.
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
        # It may have been closed behind our back, by a restart or for having been idle.
        try:
            return self.attempt(requests)
        except StoreUnreachable:
            self.disconnect()
            raise


@implementer(IPageStore)
class BatchedStore:
    """Copies outside this process. Nothing is connected before the first request: a node starts and serves without.

    :param now: seconds since the epoch.
    :param defer_to_thread: where the blocking work goes; never asked twice at a time.
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
        """Keep a copy; fires when it is safe there. Fails also where too much waits already."""
        size = len(page.body)
        try:
            check_size(self._settings, page)
            if self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES:
                raise StoreError("the store is too slow: too many copies wait for it")
        except StoreError as error:
            return fail(error)
        self._waiting_bytes += size
        # Of two Deferreds: who no longer waits for the outer one does not make the copy wait any less.
        result: Deferred[None] = Deferred()
        now = self._now()
        stored_at = now if page.kept_at is None else min(page.kept_at, now)
        queued: Deferred[None] = self._queue.submit(Request("put", stored_at, page.token, page))
        queued.addBoth(self._release_waiting_bytes, size).chainDeferred(result)
        return result

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """The copy, or why there is none."""
        return self._submit("find", token)

    def take(self, token: str) -> Deferred[Page | Miss]:
        """The same."""
        return self._submit("find", token)

    def sent(self, token: str) -> Deferred[None]:
        """The copy went out whole."""
        return self._submit("sent", token)

    def drop(self, token: str) -> Deferred[bool]:
        """The crawler has it safely."""
        return self._submit("drop", token)

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """Leave a tombstone; a copy that is there stays."""
        return self._submit("mark", token, miss=miss)

    def sweep(self) -> Deferred[int]:
        """Take away what is past its time."""
        return self._submit("sweep")

    def tokens(self) -> Deferred[list[str]]:
        """All copies that live, oldest first."""
        return self._submit("tokens")

    def stats(self) -> Deferred[dict[str, int]]:
        """What is held now (by all who share the store), and what happened since the start of this process."""
        return self._submit("stats")

    def close(self) -> Deferred[None]:
        """Finish what waits, then let go of the connection."""
        return self._queue.close(self.backend.disconnect)

    def _submit(self, verb: Verb, token: str = "", miss: Miss | None = None) -> Deferred[Any]:
        return self._queue.submit(Request(verb, self._now(), token, miss=miss))

    def _release_waiting_bytes(self, result: Failure | None, size: int) -> Failure | None:
        self._waiting_bytes -= size
        return result

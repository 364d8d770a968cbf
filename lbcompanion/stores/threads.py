"""Blocking work outside the event loop: one thread, and a queue that passes waiting requests to it in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from lbcompanion.errors import StoreError

T = TypeVar("T")
R = TypeVar("R")

#: Requests of one batch at most: in a larger one, the first request would wait too long for the last.
BATCH = 256


class DeferToThread(Protocol):
    """Runs blocking work in a thread; the Deferred fires in the event loop with its result or exception."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Run the work."""


class SingleThread:
    """A :class:`DeferToThread` with its own thread, started at the first use.

    The thread ends with :meth:`stop`, or after the reactor has stopped. Close the stores that use it before.

    :param reactor: an ``IReactorCore`` and ``IReactorFromThreads``.
    :param name: the thread's name, for debuggers.
    """

    def __init__(self, reactor: Any, name: str = "lbcompanion-store") -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)
        self._trigger: object | None = None
        self._stopped = False

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Run the work in the thread; fails with ``StoreError`` after :meth:`stop`."""
        if self._stopped:
            return fail(StoreError("the store's thread has stopped"))
        if self._trigger is None:
            self._pool.start()
            self._trigger = self._reactor.addSystemEventTrigger("after", "shutdown", self._stop_pool)
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        """End the thread after its waiting work."""
        if self._trigger is not None and not self._stopped:
            self._reactor.removeSystemEventTrigger(self._trigger)
            self._stop_pool()
        self._stopped = True

    def _stop_pool(self) -> None:
        self._stopped = True
        self._pool.stop()


class BatchQueue(Generic[R]):
    """Executes requests in order, one batch at a time. Requests that arrive during a run form the next batch.

    Requests therefore never overlap, even if ``defer_to_thread`` has several threads.

    :param run: blocking; returns a result for each request, in order. An exception as a result fails that request.
    """

    def __init__(self, run: Callable[[Sequence[R]], Sequence[object]], defer_to_thread: DeferToThread) -> None:
        self._run = run
        self._defer_to_thread = defer_to_thread
        self._waiting: deque[tuple[R, Deferred[Any]]] = deque()
        self._busy = False
        self._closing: tuple[Callable[[], None], Deferred[None]] | None = None

    def submit(self, request: R) -> Deferred[Any]:
        """Queue a request; fails with ``StoreError`` after :meth:`close`, or if the whole run failed."""
        if self._closing is not None:
            return fail(StoreError("the store is closed"))
        answer: Deferred[Any] = Deferred()
        self._waiting.append((request, answer))
        self._start_next()
        return answer

    def close(self, final_work: Callable[[], None]) -> Deferred[None]:
        """Take nothing more; when all that waits is done, run ``last`` (blocking). A second call does nothing."""
        if self._closing is not None:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing = (final_work, closed)
        self._start_next()
        return closed

    def _start_next(self) -> None:
        if self._busy:
            return
        if self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            requests = [request for request, _ in batch]
            self._start(lambda: self._run(requests)).addBoth(self._deliver, [answer for _, answer in batch])
        elif self._closing is not None:
            final_work, closed = self._closing
            self._start(final_work).addBoth(_as_store_error).chainDeferred(closed)

    def _start(self, work: Callable[[], T]) -> Deferred[T]:
        self._busy = True
        return maybeDeferred(self._defer_to_thread, work)

    def _deliver(self, results: Sequence[object] | Failure, answers: list[Deferred[Any]]) -> None:
        # Stay busy while callbacks run: requests that they submit are queued, and form one batch.
        if isinstance(results, Failure):
            results = [_store_error(results)] * len(answers)
        for answer, result in zip(answers, results, strict=True):
            if isinstance(result, Exception):
                answer.errback(Failure(result))
            else:
                answer.callback(result)
        self._busy = False
        self._start_next()


def _store_error(failure: Failure) -> StoreError:
    error = failure.value
    return error if isinstance(error, StoreError) else StoreError(f"the store's thread failed: {type(error).__name__}")


def _as_store_error(result: T | Failure) -> T | Failure:
    return Failure(_store_error(result)) if isinstance(result, Failure) else result

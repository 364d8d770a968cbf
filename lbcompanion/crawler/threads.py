"""Threads for the blocking calls of a running crawler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from lbcompanion.errors import CompanionError

_T = TypeVar("_T")


class NotRunning(CompanionError):
    """The crawler stops or has not started."""


class Threads:
    """One or more threads with one purpose. With one thread the calls run in order, one at a time.

    :param reactor: an ``IReactorFromThreads``.
    :param name: the threads' name, for debuggers.
    """

    def __init__(self, reactor: Any, name: str, max_threads: int = 1) -> None:
        self._reactor = reactor
        self._name = name
        self._max_threads = max_threads
        self._pool: ThreadPool | None = None

    @property
    def are_running(self) -> bool:
        """Whether calls are taken."""
        return self._pool is not None

    def start(self) -> None:
        """Take calls; a thread starts with the first one."""
        self._pool = ThreadPool(minthreads=0, maxthreads=self._max_threads, name=self._name)
        self._pool.start()

    def __call__(self, call: Callable[..., _T], /, *args: Any) -> Deferred[_T]:
        """Run a blocking call; fires in the event loop with its result.

        :raises NotRunning: if calls are not taken.
        """
        if self._pool is None:
            raise NotRunning("the crawler does not run")
        return deferToThreadPool(self._reactor, self._pool, call, *args)

    def stop(self) -> None:
        """Take no more calls, and wait for those that were taken; a second call does nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()

"""Calls that are repeated at an interval. An error in one call does not end the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

#: Called with the loop's name and the error for each call that failed.
CountError = Callable[[str, BaseException], object]


def not_counted(_name: str, _error: BaseException) -> None:
    """Count no error, such as in tests."""


class SteadyLoop:
    """A ``LoopingCall`` that an error does not stop.

    The error is logged and counted, and the next call comes at its time. Of failures in a row only the first, second,
    fourth, eighth and so on are logged.

    :param call: what to call; the next call comes after its Deferred has fired, if it returns one.
    :param name: what the loop does, in a few words, for the log and the metrics.
    :param clock: for the timer.
    :param count_error: counts a call that failed.
    """

    def __init__(
        self,
        call: Callable[[], object],
        *,
        name: str,
        clock: IReactorTime,
        count_error: CountError = not_counted,
    ) -> None:
        self._call = call
        self._name = name
        self._count_error = count_error
        self._failures = 0
        self._loop = LoopingCall(self._run)
        self._loop.clock = clock
        self._log = Logger(namespace="lbcompanion.loops")

    @property
    def running(self) -> bool:
        """Whether calls are made."""
        return self._loop.running

    def start(self, seconds: float, *, now: bool = True) -> None:
        """Call at this interval.

        :param now: whether the first call is made at once.
        """
        self._loop.start(seconds, now=now)

    def stop(self) -> None:
        """Make no further call; a second call of this does nothing."""
        if self._loop.running:
            self._loop.stop()

    def _run(self) -> Deferred[Any]:
        return maybeDeferred(self._call).addCallbacks(self._on_success, self._on_failure)

    def _on_success(self, _result: object) -> None:
        self._failures = 0

    def _on_failure(self, failure: Failure) -> None:
        self._failures += 1
        self._count_error(self._name, failure.value or RuntimeError())
        if self._failures & (self._failures - 1) == 0:
            self._log.failure(
                "{name}: a defect; {failures} failures in a row; the next try comes",
                failure=failure,
                name=self._name,
                failures=self._failures,
            )

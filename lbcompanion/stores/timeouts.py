"""A store wrapper that fails any call after a timeout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lbcompanion.errors import StoreUnreachable
from lbcompanion.stores.delegating import DelegatingStore
from lbcompanion.stores.interface import IImmediateStore, IPageStore

T = TypeVar("T")

#: Longer than a working server ever takes, shorter than the timeout of a fetch.
ANSWER_SECONDS = 5.0


def with_timeout(store: IPageStore, reactor: IReactorTime) -> IPageStore:
    """Wrap a store in a :class:`TimeoutStore`, unless it answers synchronously."""
    return store if IImmediateStore.providedBy(store) else TimeoutStore(store, reactor)


class TimeoutStore(DelegatingStore):
    """Fails a call with ``StoreUnreachable`` if the inner store does not answer in time.

    The inner store may still execute the call later: a copy that was stored late can be fetched from then on.

    :param reactor: schedules the timeouts.
    :param seconds: the timeout of each call.
    """

    def __init__(self, inner: Any, reactor: IReactorTime, seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(inner)
        self._reactor = reactor
        self._seconds = seconds

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call to the inner store, and fail it after the timeout."""
        answer = call()
        # An answer that is there already needs no timer.
        return answer if answer.called else answer.addTimeout(self._seconds, self._reactor, _on_timeout)


def _on_timeout(result: Any, seconds: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise StoreUnreachable(f"the store does not answer within {seconds:g} s")
    return result

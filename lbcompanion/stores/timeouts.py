"""Answers in time: a wrapper around any store, by which nobody waits for longer than so many seconds."""

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

#: Longer than a server that works well ever takes, shorter than a fetch may wait.
ANSWER_SECONDS = 5.0


def with_timeout(store: IPageStore, reactor: IReactorTime) -> IPageStore:
    """A store that answers in time: this one where it does so anyway, else one around it."""
    return store if IImmediateStore.providedBy(store) else TimeoutStore(store, reactor)


class TimeoutStore(DelegatingStore):
    """Fails with ``StoreUnreachable`` what the store inside does not answer in time. It may be done there later all
    the same: a copy that came late is there for those who ask for it then.

    :param reactor: whose time it goes by.
    """

    def __init__(self, inner: Any, reactor: IReactorTime, seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(inner)
        self._reactor = reactor
        self._seconds = seconds

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call to the store inside, and wait so long for its answer; what comes later is done all the same."""
        answer = call()
        # Most answers of a store in memory are there already.
        return answer if answer.called else answer.addTimeout(self._seconds, self._reactor, _on_timeout)


def _on_timeout(result: Any, seconds: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise StoreUnreachable(f"the store does not answer within {seconds:g} s")
    return result

"""Answers in time: a wrapper around any store, by which nobody waits for longer than so many seconds."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.errors import StoreUnreachable
from lbcompanion.model import Miss, Page
from lbcompanion.stores.interface import IImmediateStore, IPageStore

T = TypeVar("T")

#: Longer than a server that works well ever takes, shorter than a fetch may wait.
ANSWER_SECONDS = 5.0


def in_time(store: IPageStore, reactor: IReactorTime) -> IPageStore:
    """A store that answers in time: this one where it does so anyway, else one around it."""
    return store if IImmediateStore.providedBy(store) else TimelyStore(store, reactor)


@implementer(IPageStore)
class TimelyStore:
    """Fails with ``StoreUnreachable`` what the store inside does not answer in time. It may be done there later all
    the same: a copy that came late is there for those who ask for it then.

    :param reactor: whose time it goes by.
    """

    def __init__(self, inner: Any, reactor: IReactorTime, seconds: float = ANSWER_SECONDS) -> None:
        self._inner = IPageStore(inner)
        self._reactor = reactor
        self._seconds = seconds

    def put(self, page: Page) -> Deferred[None]:
        """As inside."""
        return self._within(self._inner.put(page))

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """As inside."""
        return self._within(self._inner.peek(token))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """As inside."""
        return self._within(self._inner.take(token))

    def sent(self, token: str) -> Deferred[None]:
        """As inside."""
        return self._within(self._inner.sent(token))

    def drop(self, token: str) -> Deferred[bool]:
        """As inside."""
        return self._within(self._inner.drop(token))

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """As inside."""
        return self._within(self._inner.mark(token, miss))

    def sweep(self) -> Deferred[int]:
        """As inside."""
        return self._within(self._inner.sweep())

    def tokens(self) -> Deferred[list[str]]:
        """As inside."""
        return self._within(self._inner.tokens())

    def stats(self) -> Deferred[dict[str, int]]:
        """As inside."""
        return self._within(self._inner.stats())

    def close(self) -> Deferred[None]:
        """Close the store inside; what still waits there goes on being done."""
        return self._within(self._inner.close())

    def _within(self, answer: Deferred[T]) -> Deferred[T]:
        # Most answers of a store in memory are there already.
        return answer if answer.called else answer.addTimeout(self._seconds, self._reactor, _late)


def _late(result: Any, seconds: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise StoreUnreachable(f"the store does not answer within {seconds:g} s")
    return result

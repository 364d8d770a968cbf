"""Base class of stores that wrap another store; a wrapper overrides only the methods that it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lbcompanion.model import Miss, Page
from lbcompanion.stores.interface import IPageStore

T = TypeVar("T")


@implementer(IPageStore)
class DelegatingStore:
    """Forwards every call to the inner store through :meth:`delegate`.

    A wrapper that changes one method overrides that method; a wrapper that treats all calls alike overrides
    :meth:`delegate`.

    :ivar inner: the wrapped store.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = IPageStore(inner)

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call to the inner store.

        :param call: calls one method of the inner store, and returns its Deferred.
        """
        return call()

    def put(self, page: Page) -> Deferred[None]:
        """Call ``put`` of the inner store."""
        return self.delegate(lambda: self.inner.put(page))

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """Call ``peek`` of the inner store."""
        return self.delegate(lambda: self.inner.peek(token))

    def url_of(self, token: str) -> Deferred[str]:
        """Call ``url_of`` of the inner store."""
        return self.delegate(lambda: self.inner.url_of(token))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """Call ``take`` of the inner store."""
        return self.delegate(lambda: self.inner.take(token))

    def sent(self, token: str) -> Deferred[None]:
        """Call ``sent`` of the inner store."""
        return self.delegate(lambda: self.inner.sent(token))

    def drop(self, token: str) -> Deferred[bool]:
        """Call ``drop`` of the inner store."""
        return self.delegate(lambda: self.inner.drop(token))

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """Call ``mark`` of the inner store."""
        return self.delegate(lambda: self.inner.mark(token, miss))

    def sweep(self) -> Deferred[int]:
        """Call ``sweep`` of the inner store."""
        return self.delegate(self.inner.sweep)

    def tokens(self) -> Deferred[list[str]]:
        """Call ``tokens`` of the inner store."""
        return self.delegate(self.inner.tokens)

    def stats(self) -> Deferred[dict[str, int]]:
        """Call ``stats`` of the inner store."""
        return self.delegate(self.inner.stats)

    def close(self) -> Deferred[None]:
        """Call ``close`` of the inner store."""
        return self.delegate(self.inner.close)

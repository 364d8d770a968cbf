"""A store around another store: each wrapper overrides only what it changes."""

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
    """Hands every call to the store inside, by way of :meth:`delegate`.

    A wrapper that changes one method overrides that method; one that treats all calls alike overrides
    :meth:`delegate`.

    :ivar inner: the store inside.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = IPageStore(inner)

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call to the store inside.

        :param call: makes it.
        """
        return call()

    def put(self, page: Page) -> Deferred[None]:
        """As inside."""
        return self.delegate(lambda: self.inner.put(page))

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """As inside."""
        return self.delegate(lambda: self.inner.peek(token))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """As inside."""
        return self.delegate(lambda: self.inner.take(token))

    def sent(self, token: str) -> Deferred[None]:
        """As inside."""
        return self.delegate(lambda: self.inner.sent(token))

    def drop(self, token: str) -> Deferred[bool]:
        """As inside."""
        return self.delegate(lambda: self.inner.drop(token))

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """As inside."""
        return self.delegate(lambda: self.inner.mark(token, miss))

    def sweep(self) -> Deferred[int]:
        """As inside."""
        return self.delegate(self.inner.sweep)

    def tokens(self) -> Deferred[list[str]]:
        """As inside."""
        return self.delegate(self.inner.tokens)

    def stats(self) -> Deferred[dict[str, int]]:
        """As inside."""
        return self.delegate(self.inner.stats)

    def close(self) -> Deferred[None]:
        """As inside."""
        return self.delegate(self.inner.close)

"""The interface of stores for page copies. Each provider has a module beside this one."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from lbcompanion.model import Miss, Page


class IPageStore(Interface):
    """Copies under their tokens, for a short time.

    Every method returns a Deferred, which fails with :class:`lbcompanion.errors.StoreError` if the store cannot do
    it now. A removed copy leaves a *tombstone* with the reason, so that a later fetch gets ``expired``, ``pulled``
    or ``evicted`` rather than ``unknown``. The number of tombstones is bounded.
    """

    def put(page: Page) -> Deferred[None]:
        """Store a copy. At a limit, evict copies that were sent already, then the oldest ones; each leaves the
        tombstone ``evicted``. Refuse a page larger than ``max_bytes`` with ``StoreError``. The copy's age counts from
        ``page.kept_at`` if that is set, else from now."""

    def peek(token: str) -> Deferred[Page | Miss]:
        """Return the copy, or a :class:`~lbcompanion.model.Miss` with the reason. Removes nothing (``HEAD``)."""

    def url_of(token: str) -> Deferred[str]:
        """Return the URL of a copy without reading its body; empty if there is no copy."""

    def take(token: str) -> Deferred[Page | Miss]:
        """Return the copy or a miss, for sending. With ``delete_after_pull`` the grace period starts with :meth:`sent`,
        not here; if it has started, it ends: a caller that asks again did not receive the copy before."""

    def sent(token: str) -> Deferred[None]:
        """Record that the copy was sent completely. With ``delete_after_pull`` it becomes ``pulled``
        ``pull_grace_seconds`` after the first such call since :meth:`take`; without, nothing changes. An unknown token
        is no error."""

    def drop(token: str) -> Deferred[bool]:
        """Record that the crawler has archived the copy. With ``delete_after_pull`` remove it now, with the tombstone
        ``pulled``; without, keep it. Return whether the token names a copy or a pulled copy."""

    def mark(token: str, miss: Miss) -> Deferred[None]:
        """Write a tombstone for a page that never became a copy (a visitor left, a page grew too large)."""

    def sweep() -> Deferred[int]:
        """Remove copies past ``max_seconds`` or their grace period. Return how many were removed."""

    def tokens() -> Deferred[list[str]]:
        """Return the tokens of all stored copies, oldest first (for a hand-over)."""

    def stats() -> Deferred[dict[str, int]]:
        """Return ``pages`` and ``bytes``, and the counters ``put``, ``evicted``, ``expired`` and ``pulled`` since the
        start of the process."""

    def close() -> Deferred[None]:
        """Close files and connections. A durable store keeps its copies."""


class IImmediateStore(IPageStore):
    """A store that stores a copy synchronously, so that the caller needs no Deferred for each page."""

    def put_now(page: Page) -> None:
        """Do the same as :meth:`IPageStore.put`, synchronously. Raise StoreError on failure."""

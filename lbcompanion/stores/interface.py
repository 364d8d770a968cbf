"""What every store of page copies can do. Providers live beside this file, one each."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from lbcompanion.model import Miss, Page


class IPageStore(Interface):
    """Copies under their tokens, for a short time.

    Every method gives a Deferred, which fails with :class:`lbcompanion.errors.StoreError` where the store cannot
    do it now. A copy that is gone leaves a mark (a *tombstone*: its reason, bounded in number) so that a later
    fetch is told ``expired``, ``pulled`` or ``evicted`` rather than ``unknown``.
    """

    def put(page: Page) -> Deferred[None]:
        """Keep a copy. Where a limit is reached, copies that were sent already go first, then the oldest; each
        leaves ``evicted``. A single page larger than ``max_bytes`` is refused with ``StoreError``. Its age counts from
        ``page.kept_at`` where that is known, else from now."""

    def peek(token: str) -> Deferred[Page | Miss]:
        """The copy, or why there is none. Takes nothing away (``HEAD``)."""

    def take(token: str) -> Deferred[Page | Miss]:
        """The same, for sending. With ``delete_after_pull`` the copy's grace starts with :meth:`sent`, not here."""

    def sent(token: str) -> Deferred[None]:
        """The copy went out whole. With ``delete_after_pull`` it is ``pulled`` after ``pull_grace_seconds`` from
        the first such call; without, nothing changes. An unknown token is no error."""

    def drop(token: str) -> Deferred[bool]:
        """The crawler has it safely: with ``delete_after_pull`` the copy goes now and leaves ``pulled``; without,
        it stays. Whether the token named a copy or a pulled one."""

    def mark(token: str, miss: Miss) -> Deferred[None]:
        """Leave a tombstone for a page that never became a copy (a visitor left, a page grew too large)."""

    def sweep() -> Deferred[int]:
        """Take away what is past ``max_seconds`` or its grace; the number of copies gone."""

    def tokens() -> Deferred[list[str]]:
        """The tokens of all copies still held, oldest first (for a hand-over)."""

    def stats() -> Deferred[dict[str, int]]:
        """``pages``, ``bytes``, and counters ``put``, ``evicted``, ``expired``, ``pulled`` since the start."""

    def close() -> Deferred[None]:
        """Let go of files and connections; what is durable stays."""


class IImmediateStore(IPageStore):
    """A store that keeps a copy at once: nothing is waited for, so no Deferred need be made for each page."""

    def put_now(page: Page) -> None:
        """As :meth:`IPageStore.put`, done when it returns; raises StoreError."""

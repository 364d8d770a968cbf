"""What a node does with the copies in its memory when it stops and nobody takes its place: it gives them to its peers
(docs/flow.rst). What none of them takes is lost, with a reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from lbcompanion.errors import StoreError, TokenError
from lbcompanion.model import LossCode, LossReason, Page
from lbcompanion.node.copies.peers import Peers, in_order
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.protocol.copies import write_copy
from lbcompanion.protocol.tokens import Tokens, repr_digest
from lbcompanion.stores.interface import IPageStore

#: So many copies are on their way at a time.
_AT_ONCE = 8
_EACH_SECONDS = 3.0
#: What a peer says of this one copy; after any other answer it is not asked for further copies.
_ABOUT_THIS_COPY = frozenset({400, 409, 410, 413})


class Giving:
    """Gives all copies of a store to peers.

    :param now: seconds since the epoch.
    :ivar given: how many each peer took, by its name.
    :ivar lost: token to reason.
    """

    def __init__(
        self, *, store: IPageStore, peers: Peers, tokens: Tokens, now: Any, reactor: Any, counters: Counters
    ) -> None:
        self._store = store
        self._peers = peers
        self._tokens = tokens
        self._now = now
        self._reactor = reactor
        self._counters = counters
        self._left: list[str] = []
        self._takers: set[str] = set()
        self._until = 0.0
        self.given: Counter[str] = Counter()
        self.lost: dict[str, LossReason] = {}

    async def run(self, until: float) -> None:
        """Give them, the youngest first: those are waited for the longest; several at a time.

        :param until: when this has to be over, by the reactor's clock.
        :raises StoreError: where the store does not even tell what it holds.
        """
        self._until = until
        self._left = await self._store.tokens()
        if self._left and self._peers.names:
            self._takers = set(await self._peers.greet_all())
            await DeferredList([Deferred.fromCoroutine(self._give()) for _ in range(_AT_ONCE)], consumeErrors=True)
        for token in self._left:
            self._lose(token, self._why_left())
        self._left = []

    async def _give(self) -> None:
        while self._left and self._takers and self._reactor.seconds() < self._until:
            token = self._left.pop()
            try:
                page = await self._store.peek(token)
            except StoreError:
                self._lose(token, LossCode.NO_PEER_TOOK)
                continue
            if isinstance(page, Page):
                await self._given_to_one(page)

    async def _given_to_one(self, page: Page) -> None:
        """Give a copy to the first peer that takes it; one that is kept for another node goes home if that is back."""
        owner = self._owner(page.token)
        written = write_copy(page, max(self._now() - page.captured_at, 0.0))
        for name in (owner, *in_order(page.token, self._takers - {owner})):
            if name in self._takers and await self._takes(name, page, written):
                self.given[name] += 1
                self._counters.handed["given"] += 1
                return
        with_timeout = self._reactor.seconds() < self._until
        self._lose(page.token, LossCode.NO_PEER_TOOK if with_timeout else LossCode.NO_TIME)

    async def _takes(self, name: str, page: Page, written: bytes) -> bool:
        digest = repr_digest(page.sha256)
        for _ in range(2):
            left = min(self._until - self._reactor.seconds(), _EACH_SECONDS)
            if left <= 0:
                return False
            try:
                status = await self._peers.put(name, page.token, written, digest, left)
            except Exception:
                # A connection that rested may have been closed meanwhile: a fresh one tells.
                continue
            if status == 204:
                return True
            if status not in _ABOUT_THIS_COPY:
                self._takers.discard(name)
            return False
        self._takers.discard(name)
        return False

    def _owner(self, token: str) -> str:
        try:
            return self._tokens.owner_of(token)
        except TokenError:
            return ""

    def _why_left(self) -> LossCode:
        if self._takers:
            return LossCode.NO_TIME
        return LossCode.NO_PEER_TOOK if self._peers.names else LossCode.NO_PEERS

    def _lose(self, token: str, why: LossCode) -> None:
        self._counters.handed["lost"] += 1
        self.lost[token] = LossReason.of(why)

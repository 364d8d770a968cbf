"""Transfers the copies in a node's memory to its peers when it stops and no process takes over (docs/flow.rst).

A copy that no peer takes is lost, with a reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from lbcompanion.errors import StoreError, TokenError
from lbcompanion.model import LossCode, LossReason, Page
from lbcompanion.node.copies.peers import Peers, rendezvous_order
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.protocol.copies import write_copy
from lbcompanion.protocol.tokens import Tokens, repr_digest
from lbcompanion.stores.interface import IPageStore

#: Copies that are transferred in parallel.
_CONCURRENCY = 8
_PER_COPY_SECONDS = 3.0
#: Statuses that refuse one copy; after any other error the peer gets no further copies.
_ABOUT_THIS_COPY = frozenset({400, 409, 410, 413})


class PeerExport:
    """Transfers all copies of a store to peers.

    :param now: seconds since the epoch.
    :ivar exported: peer name to the number of copies that it took.
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
        self._remaining: list[str] = []
        self._willing_peers: set[str] = set()
        self._deadline = 0.0
        self.exported: Counter[str] = Counter()
        self.lost: dict[str, LossReason] = {}

    async def run(self, until: float) -> None:
        """Transfer all copies, several in parallel; the youngest first, since their fetch is furthest away.

        :param until: the deadline, by the reactor's clock.
        :raises StoreError: if the store cannot list its tokens.
        """
        self._deadline = until
        self._remaining = await self._store.tokens()
        if self._remaining and self._peers.names:
            self._willing_peers = set(await self._peers.authenticate_all())
            await DeferredList(
                [Deferred.fromCoroutine(self._export()) for _ in range(_CONCURRENCY)], consumeErrors=True
            )
        for token in self._remaining:
            self._mark_lost(token, self._reason_left())
        self._remaining = []

    async def _export(self) -> None:
        while self._remaining and self._willing_peers and self._reactor.seconds() < self._deadline:
            token = self._remaining.pop()
            try:
                page = await self._store.peek(token)
            except StoreError:
                self._mark_lost(token, LossCode.NO_PEER_TOOK)
                continue
            if isinstance(page, Page):
                await self._export_one(page)

    async def _export_one(self, page: Page) -> None:
        """Transfer a copy to the first peer that takes it; a copy of another node goes to its owner if that is back."""
        owner = self._owner(page.token)
        encoded = write_copy(page, max(self._now() - page.captured_at, 0.0))
        for name in (owner, *rendezvous_order(page.token, self._willing_peers - {owner})):
            if name in self._willing_peers and await self._offer(name, page, encoded):
                self.exported[name] += 1
                self._counters.copies_transferred["given"] += 1
                return
        with_timeout = self._reactor.seconds() < self._deadline
        self._mark_lost(page.token, LossCode.NO_PEER_TOOK if with_timeout else LossCode.NO_TIME)

    async def _offer(self, name: str, page: Page, encoded: bytes) -> bool:
        digest = repr_digest(page.sha256)
        for _ in range(2):
            left = min(self._deadline - self._reactor.seconds(), _PER_COPY_SECONDS)
            if left <= 0:
                return False
            try:
                status = await self._peers.put(name, page.token, encoded, digest, left)
            except Exception:
                # An idle connection may have been closed meanwhile: retry once.
                continue
            if status == 204:
                return True
            if status not in _ABOUT_THIS_COPY:
                self._willing_peers.discard(name)
            return False
        self._willing_peers.discard(name)
        return False

    def _owner(self, token: str) -> str:
        try:
            return self._tokens.owner_of(token)
        except TokenError:
            return ""

    def _reason_left(self) -> LossCode:
        if self._willing_peers:
            return LossCode.NO_TIME
        return LossCode.NO_PEER_TOOK if self._peers.names else LossCode.NO_PEERS

    def _mark_lost(self, token: str, why: LossCode) -> None:
        self._counters.copies_transferred["lost"] += 1
        self.lost[token] = LossReason.of(why)

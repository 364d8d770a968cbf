"""Imports copies from a peer that stops: ``PUT page/TOKEN``, from nodes of this farm only (docs/flow.rst)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from lbcompanion.errors import CopyError, PageRefused, StoreError, TokenError
from lbcompanion.model import MissReason, Page, WallClock
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.answers import GUARDS, problem
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.protocol.copies import HEAD_BYTES, read_copy
from lbcompanion.protocol.tokens import Tokens, abbreviate, repr_digest
from lbcompanion.settings import StoreTable
from lbcompanion.stores.interface import IPageStore


class _ImportRefused(Exception):
    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


class PeerImport:
    """Imports copies from peers.

    :param is_draining: whether this node is stopping too.
    :param max_bytes: the largest page.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        tokens: Tokens,
        copies: Copies,
        store: IPageStore,
        limits: StoreTable,
        max_bytes: int,
        is_draining: Callable[[], bool],
        now: WallClock,
        counters: Counters,
        log: Callable[[str, str], None],
    ) -> None:
        self._tokens = tokens
        self._copies = copies
        self._store = store
        self._limits = limits
        self._max_bytes = max_bytes
        self._is_draining = is_draining
        self._now = now
        self._counters = counters
        self._log = log

    @property
    def max_body_bytes(self) -> int:
        """The body limit of a PUT, in bytes."""
        return self._max_bytes + HEAD_BYTES

    async def receive(self, token: str, nonce: str, body: bytes, *, truncated: bool) -> InternalResponse:
        """Answer an authorized PUT: 204 after the copy is stored.

        :param truncated: whether the body was over the limit.
        """
        try:
            page = await self._receive(token, body, truncated=truncated)
        except _ImportRefused as refused:
            self._counters.copies_transferred["refused"] += 1
            self._log("copy of a peer refused", f"{abbreviate(token)}: {refused}")
            answer = problem(refused.status, detail=str(refused))
            if refused.status == 503:
                answer.fields.append((b"Retry-After", b"1"))
            return answer
        digest = repr_digest(page.sha256)
        return InternalResponse(204, [*self._copies.identity.digest_fields(token, nonce, digest), *GUARDS])

    async def _receive(self, token: str, body: bytes, *, truncated: bool) -> Page:
        if self._is_draining():
            raise _ImportRefused(503, "this node is leaving")
        self._check_token(token)
        if truncated:
            raise _ImportRefused(413, f"a page of more than {self._max_bytes} bytes")
        page = self._read(token, body)
        try:
            if not await self._already_stored(page):
                await self._check_room(page)
                await self._store.put(page)
                self._counters.copies_transferred["taken"] += 1
                self._log("copy of a peer taken", abbreviate(token))
        except PageRefused as error:
            raise _ImportRefused(413, str(error)) from None
        except StoreError as error:
            raise _ImportRefused(503, str(error)) from None
        return page

    def _check_token(self, token: str) -> None:
        # A peer may also return copies of this node's own.
        try:
            self._tokens.owner_of(token)
        except TokenError as error:
            raise _ImportRefused(400, str(error)) from None

    def _read(self, token: str, body: bytes) -> Page:
        try:
            page, age = read_copy(body, token)
        except CopyError as error:
            raise _ImportRefused(400, str(error)) from None
        if len(page.body) > self._max_bytes:
            raise _ImportRefused(413, f"a page of more than {self._max_bytes} bytes")
        if age >= self._limits.max_seconds:
            raise _ImportRefused(410, "its time is over")
        # Calculated from the age, since the clocks of two nodes may differ.
        return evolve(page, kept_at=self._now() - age, sha256=page.sha256)

    async def _already_stored(self, page: Page) -> bool:
        """Whether the copy was imported before: the peer missed the response and sends it again."""
        found = await self._store.peek(page.token)
        if isinstance(found, Page):
            if found.sha256 != page.sha256:
                raise _ImportRefused(409, "another page has this token here")
            return True
        # The crawler has archived it: nothing to store.
        return found.reason is MissReason.PULLED

    async def _check_room(self, page: Page) -> None:
        """Refuse a copy that would evict copies of this node."""
        stats = await self._store.stats()
        if stats["pages"] >= self._limits.max_pages or stats["bytes"] + page.size > self._limits.max_bytes:
            raise _ImportRefused(507, "the store is full")

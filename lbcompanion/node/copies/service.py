"""The copies of this node: stores them, answers fetches with a proof, and asks other nodes for copies."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure

from lbcompanion.errors import PageNotReady, PageRefused, StoreError, StoreUnreachable, StoreUnwritable, TokenError
from lbcompanion.model import Miss, MissReason, Page, WallClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.answers import COPY_GUARDS, GUARDS, PROBLEM, no_content, problem, problem_body
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.protocol.headers import Identity, Via, copy_fields
from lbcompanion.protocol.tokens import Tokens, abbreviate, digest_of, repr_digest
from lbcompanion.stores.interface import IImmediateStore, IPageStore

_MAX_PENDING_SECONDS = 120.0


@frozen
class CopyRequest:
    """An authorized request for a copy.

    :ivar nonce: the caller's nonce; empty if it sent none.
    :ivar forwarded: whether another node forwarded it; such a request is not forwarded again.
    :ivar with_head: whether the caller asks for the page's head.
    """

    token: str
    nonce: str
    forwarded: bool
    with_head: bool = False


class Copies:
    """Stores pages and answers requests for them.

    :param ask_peers: ``ask_peers(method, owner, ask)`` asks the owner and other peers; it returns None
        if it knows none.
    :param now: seconds since the epoch.
    :param shared: whether other nodes may use the same store.
    """

    def __init__(
        self,
        *,
        node: str,
        secret: bytes,
        store: IPageStore,
        tokens: Tokens,
        now: WallClock,
        counters: Counters,
        log: Callable[[str, str], None],
        ask_peers: Callable[[bytes, str, CopyRequest], Deferred[InternalResponse | None] | None],
        shared: bool = True,
    ) -> None:
        self._node = node
        #: This node's name and its proof, for responses about copies.
        self.identity = Identity(node, secret)
        self.use_store(store)
        self._tokens = tokens
        self._now = now
        self._counters = counters
        self._log = log
        self._ask_peers = ask_peers
        # A copy of another node is in a shared store, or was transferred by that node.
        self._via_of_other_owners = Via.STORE if shared else Via.PEER
        #: Whether the copy of a page with this URL stays after it was fetched.
        self.outlives: Callable[[str], bool] = _never_outlives
        self._pending: dict[str, float] = {}
        self._store_works = True
        #: The store is reachable but refuses pages, for example because its disk is full: a read or a sweep that
        #: succeeds does not mean that it works.
        self._store_refuses = False

    def use_store(self, store: IPageStore) -> None:
        """Use this store from now on."""
        self._store = store
        self._put_now = store.put_now if IImmediateStore.providedBy(store) else None

    # Storing pages.

    def mint_token(self) -> str:
        """Mint a token for a page that is being captured."""
        token = self._tokens.mint()
        self._pending[token] = self._now()
        return token

    def store_page(self, page: Page) -> None:
        """Store a complete page. The visitor has already been served; errors are counted."""
        try:
            if self._put_now is not None:
                self._put_now(page)
                self._on_stored(page)
                return
            putting = self._store.put(page)
        except Exception:
            putting = fail(Failure())
        putting.addCallbacks(
            lambda _: self._on_stored(page), lambda failure: self._on_store_failure(page.token, failure)
        )

    def _on_stored(self, page: Page) -> None:
        counters = self._counters
        counters.captured += 1
        counters.captured_bytes += len(page.body)
        self._pending.pop(page.token, None)
        self._store_refuses = False
        if not self._store_works:
            self._set_store_works(works=True, why="")

    def _on_store_failure(self, token: str, failure: Failure) -> None:
        self._counters.failed_open["store"] += 1
        if not failure.check(PageRefused):
            self._store_refuses = not failure.check(StoreUnreachable)
            self._set_store_failed(failure.value)
        self.record_loss(token, "the store could not keep it")

    def record_loss(self, token: str, why: str) -> None:
        """Record that a page gets no copy, and why; the store answers fetches with the reason for a while."""
        self._pending.pop(token, None)
        self._counters.not_captured[why] += 1
        try:
            self._store.mark(token, Miss(MissReason.UNKNOWN, why)).addErrback(lambda _: None)
        except Exception:
            self._counters.failed_open["store"] += 1

    def sweep(self) -> None:
        """Remove expired copies from the store; this also checks whether the store is reachable."""
        maybeDeferred(self._store.sweep).addCallbacks(
            lambda _: self._set_store_works(works=True, why=""),
            lambda failure: self._set_store_failed(failure.value),
        )

    def _set_store_failed(self, error: BaseException | None) -> None:
        if isinstance(error, StoreUnwritable):
            self._store_refuses = True
        self._set_store_works(works=False, why=_reason(error))

    def _set_store_works(self, *, works: bool, why: str) -> None:
        if works and self._store_refuses:
            return
        if works != self._store_works:
            self._store_works = works
            self._log("store works again" if works else "store fails", why)

    @property
    def store_works(self) -> bool:
        """Whether the last operation of the store succeeded."""
        return self._store_works

    def is_pending(self, token: str) -> bool:
        """Whether the page of this token is being captured here."""
        started_at = self._pending.get(token)
        return started_at is not None and self._now() - started_at < _MAX_PENDING_SECONDS

    @property
    def pending(self) -> int:
        """The number of pages that are being captured or stored."""
        return len(self._pending)

    def tick(self) -> None:
        """Forget pages that have been pending for too long: a fetch then gets ``unknown``."""
        oldest = self._now() - _MAX_PENDING_SECONDS
        for token in [token for token, started_at in self._pending.items() if started_at < oldest]:
            del self._pending[token]

    # Answering requests.

    def get(self, copy_request: CopyRequest, *, is_head: bool) -> Deferred[InternalResponse]:
        """Answer ``GET`` or ``HEAD`` for a copy; only a copy that a ``GET`` sent counts as sent."""
        try:
            owner = self._tokens.owner_of(copy_request.token)
        except TokenError:
            return succeed(
                self._miss_response(copy_request, Miss(MissReason.UNKNOWN, "not a token of this farm's"), "")
            )
        if self.is_pending(copy_request.token):
            return succeed(self._retry_later("the page is still on its way"))
        return Deferred.fromCoroutine(self._get(copy_request, owner, is_head=is_head))

    async def _get(self, copy_request: CopyRequest, owner: str, *, is_head: bool) -> InternalResponse:
        method = b"HEAD" if is_head else b"GET"
        try:
            found = await (self._store.peek(copy_request.token) if is_head else self._store.take(copy_request.token))
        except PageNotReady as error:
            # The copy of another node's page may be with that node instead.
            answer = None if owner == self._node else await self._ask_others(method, owner, copy_request)
            return answer if answer is not None and answer.status == 200 else self._retry_later(str(error))
        except Exception as error:
            return self._store_failed(error)
        self._set_store_works(works=True, why="")
        if isinstance(found, Page):
            return self._copy_response(copy_request, found, owner, is_head=is_head)
        if found == Miss(MissReason.UNKNOWN):
            answer = await self._ask_others(method, owner, copy_request)
            if answer is not None:
                return answer
            if owner != self._node:
                found = Miss(MissReason.MISROUTED, owner=owner)
        return self._miss_response(copy_request, found, owner)

    async def _ask_others(self, method: bytes, owner: str, copy_request: CopyRequest) -> InternalResponse | None:
        """Ask other nodes for a copy that is not here: its owner, or a peer that got it when its owner stopped. None if
        no node knows more."""
        passed = None if copy_request.forwarded else self._ask_peers(method, owner, copy_request)
        answer = None if passed is None else await passed
        if answer is not None:
            self._counters.fetches["passed on"] += 1
        return answer

    def _copy_response(self, copy_request: CopyRequest, page: Page, owner: str, *, is_head: bool) -> InternalResponse:
        self._counters.fetches["given"] += 1
        self._log("copy given", abbreviate(page.token))

        def sent() -> None:
            if not self.outlives(page.url):
                self._store.sent(page.token).addErrback(lambda _: None)

        via = Via.OWN if owner == self._node else self._via_of_other_owners
        with_head = copy_request.with_head
        fields = copy_fields(
            page, self.identity, token=copy_request.token, nonce=copy_request.nonce, via=via, with_head=with_head
        )
        body = page.body + page.head if with_head else page.body
        return InternalResponse(200, [*fields, *COPY_GUARDS], body, None if is_head else sent)

    def _miss_response(self, copy_request: CopyRequest, miss: Miss, owner: str) -> InternalResponse:
        self._counters.fetches[miss.reason.value] += 1
        self._log("copy missed", f"{abbreviate(copy_request.token)} {miss.reason.value}")
        return self.problem(404, miss, copy_request)

    def problem(self, status: int, miss: Miss, copy_request: CopyRequest) -> InternalResponse:
        """A miss as ``application/problem+json`` (RFC 9457), with proof and digest: the crawler can trust it."""
        body = problem_body(
            status, title="no copy here", reason=miss.reason.value, detail=miss.detail, owner=miss.owner
        )
        digest = repr_digest(digest_of(body))
        fields = [
            PROBLEM,
            *self.identity.digest_fields(copy_request.token, copy_request.nonce, digest),
            *GUARDS,
        ]
        return InternalResponse(status, fields, body)

    def _retry_later(self, why: str) -> InternalResponse:
        self._counters.fetches["later"] += 1
        return problem(503, title="try again", fields=[(b"Retry-After", b"1")], detail=why)

    def _store_failed(self, error: Exception) -> InternalResponse:
        if isinstance(error, PageNotReady):
            return self._retry_later(str(error))
        self._set_store_failed(error)
        return self._retry_later("the store fails")

    def drop(self, copy_request: CopyRequest) -> Deferred[InternalResponse]:
        """Answer ``DELETE``: the crawler has archived the copy."""
        try:
            owner = self._tokens.owner_of(copy_request.token)
        except TokenError:
            return succeed(
                self._miss_response(copy_request, Miss(MissReason.UNKNOWN, "not a token of this farm's"), "")
            )
        return Deferred.fromCoroutine(self._drop(copy_request, owner))

    async def _drop(self, copy_request: CopyRequest, owner: str) -> InternalResponse:
        try:
            dropped = await self._outlives_pull(copy_request.token) or await self._store.drop(copy_request.token)
            found = None if dropped else await self._store.peek(copy_request.token)
        except Exception as error:
            return self._store_failed(error)
        if dropped:
            self._counters.fetches["dropped"] += 1
            return no_content()
        if found == Miss(MissReason.UNKNOWN):
            answer = await self._ask_others(b"DELETE", owner, copy_request)
            if answer is not None:
                return answer
            if owner != self._node:
                return self._miss_response(copy_request, Miss(MissReason.MISROUTED, owner=owner), owner)
        return self._miss_response(copy_request, found if isinstance(found, Miss) else Miss(MissReason.UNKNOWN), owner)

    async def _outlives_pull(self, token: str) -> bool:
        if self.outlives is _never_outlives:
            return False
        url = await self._store.url_of(token)
        return bool(url) and self.outlives(url)

    def url_of(self, token: str) -> Deferred[str]:
        """The URL of a copy in this store; empty if there is none, or if the store fails."""
        return maybeDeferred(self._store.url_of, token).addErrback(lambda _: "")


def _never_outlives(url: str) -> bool:
    return False


def _reason(error: BaseException | None) -> str:
    return str(error) if isinstance(error, StoreError) else type(error).__name__

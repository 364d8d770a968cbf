"""The copies of this node: kept, given out with proof, passed on to the owner, never to anyone else's eyes."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure

from lbcompanion.errors import PageNotReady, PageRefused, StoreError, StoreUnreachable, TokenError
from lbcompanion.model import Miss, MissReason, Page, WallClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.answers import GUARDS, PROBLEM, no_content, problem, problem_body
from lbcompanion.node.proxy.context import LocalAnswer
from lbcompanion.protocol.headers import Identity, Via, copy_fields
from lbcompanion.protocol.tokens import Tokens, abbreviate, digest_of, repr_digest
from lbcompanion.stores.interface import IImmediateStore, IPageStore

_MAX_PENDING_SECONDS = 120.0


@frozen
class Ask:
    """A fetch by an allowed caller.

    :ivar nonce: the caller's, empty where it sent none.
    :ivar hopped: another node passed it on: it goes no further.
    """

    token: str
    nonce: str
    hopped: bool


class Copies:
    """Keeps pages and answers for them.

    :param pass_on: ``pass_on(method, owner, ask)`` asks the owner and other peers; None where none of them is known.
    :param now: seconds since the epoch.
    :param shared: whether other nodes may use this very store.
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
        pass_on: Callable[[bytes, str, Ask], Deferred[LocalAnswer | None] | None],
        shared: bool = True,
    ) -> None:
        self._node = node
        #: This node's name and the proof of it, for answers about copies.
        self.identity = Identity(node, secret)
        self.live_in(store)
        self._tokens = tokens
        self._now = now
        self._counters = counters
        self._log = log
        self._pass_on = pass_on
        # Another node's copy can only be in a store that both use, or have been given by it.
        self._via_of_others = Via.STORE if shared else Via.PEER
        #: Whether the copy of a page with this address stays although it was fetched.
        self.outlives: Callable[[str], bool] = _goes
        self._pending: dict[str, float] = {}
        self._store_works = True
        #: It can be reached and takes no page: what shows that it can be reached says nothing new then.
        self._store_refuses = False

    def live_in(self, store: IPageStore) -> None:
        """Where copies live from now on."""
        self._store = store
        self._put_now = store.put_now if IImmediateStore.providedBy(store) else None

    # Pages coming in.

    def begin(self) -> str:
        """A new token, whose page is on its way."""
        token = self._tokens.mint()
        self._pending[token] = self._now()
        return token

    def keep(self, page: Page) -> None:
        """Hand a whole page to the store. Whatever happens there, the visitor has been served already."""
        try:
            if self._put_now is not None:
                self._put_now(page)
                self._kept(page)
                return
            putting = self._store.put(page)
        except Exception:
            putting = fail(Failure())
        putting.addCallbacks(lambda _: self._kept(page), lambda failure: self._not_kept(page.token, failure))

    def _kept(self, page: Page) -> None:
        counters = self._counters
        counters.captured += 1
        counters.captured_bytes += len(page.body)
        self._pending.pop(page.token, None)
        self._store_refuses = False
        if not self._store_works:
            self._store_is(True, "")

    def _not_kept(self, token: str, failure: Failure) -> None:
        self._counters.failed_open["store"] += 1
        if not failure.check(PageRefused):
            self._store_refuses = not failure.check(StoreUnreachable)
            self._store_is(False, _why(failure.value))
        self.lost(token, "the store could not keep it")

    def lost(self, token: str, why: str) -> None:
        """A page that will not become a copy; a fetch of it is told why, as long as the store remembers."""
        self._pending.pop(token, None)
        self._counters.not_captured[why] += 1
        try:
            self._store.mark(token, Miss(MissReason.UNKNOWN, why)).addErrback(lambda _: None)
        except Exception:
            self._counters.failed_open["store"] += 1

    def sweep(self) -> None:
        """Have the store take away what is past its time, and see by that whether it can be reached."""
        maybeDeferred(self._store.sweep).addCallbacks(
            lambda _: self._store_is(True, ""), lambda failure: self._store_is(False, _why(failure.value))
        )

    def _store_is(self, works: bool, why: str) -> None:
        if works and self._store_refuses:
            return
        if works != self._store_works:
            self._store_works = works
            self._log("store works again" if works else "store fails", why)

    @property
    def store_works(self) -> bool:
        """Whether the store did what was last asked of it."""
        return self._store_works

    def on_its_way(self, token: str) -> bool:
        """Whether a page of that token is being captured here."""
        begun = self._pending.get(token)
        return begun is not None and self._now() - begun < _MAX_PENDING_SECONDS

    @property
    def pending(self) -> int:
        """Pages that are on their way into the store."""
        return len(self._pending)

    def tick(self) -> None:
        """Forget pages that have been on their way for too long: a fetch of theirs is told ``unknown`` then."""
        oldest = self._now() - _MAX_PENDING_SECONDS
        for token in [token for token, begun in self._pending.items() if begun < oldest]:
            del self._pending[token]

    # Copies going out.

    def get(self, ask: Ask, take: bool) -> Deferred[LocalAnswer]:
        """Answer ``GET`` (``take``) and ``HEAD`` for a copy."""
        try:
            owner = self._tokens.owner_of(ask.token)
        except TokenError:
            return succeed(self._missed(ask, Miss(MissReason.UNKNOWN, "not a token of this farm's"), ""))
        if self.on_its_way(ask.token):
            return succeed(self._later("the page is still on its way"))
        return Deferred.fromCoroutine(self._get(ask, owner, take))

    async def _get(self, ask: Ask, owner: str, take: bool) -> LocalAnswer:
        try:
            found = await (self._store.take(ask.token) if take else self._store.peek(ask.token))
        except Exception as error:
            return self._store_failed(error)
        self._store_is(True, "")
        if isinstance(found, Page):
            return self._given(ask, found, take, owner)
        if found == Miss(MissReason.UNKNOWN):
            answer = await self._elsewhere(b"GET" if take else b"HEAD", owner, ask)
            if answer is not None:
                return answer
            if owner != self._node:
                found = Miss(MissReason.MISROUTED, owner=owner)
        return self._missed(ask, found, owner)

    async def _elsewhere(self, method: bytes, owner: str, ask: Ask) -> LocalAnswer | None:
        """What others answer for a copy that is not here: its owner, or, of this node's own, who keeps it since this
        node stopped. None where none of them knows more."""
        passed = None if ask.hopped else self._pass_on(method, owner, ask)
        answer = None if passed is None else await passed
        if answer is not None:
            self._counters.fetches["passed on"] += 1
        return answer

    def _given(self, ask: Ask, page: Page, take: bool, owner: str) -> LocalAnswer:
        self._counters.fetches["given"] += 1
        self._log("copy given", abbreviate(page.token))

        def sent() -> None:
            if not self.outlives(page.url):
                self._store.sent(page.token).addErrback(lambda _: None)

        via = Via.OWN if owner == self._node else self._via_of_others
        fields = copy_fields(page, self.identity, token=ask.token, nonce=ask.nonce, via=via)
        return LocalAnswer(200, [*fields, *GUARDS], page.body, sent if take else None)

    def _missed(self, ask: Ask, miss: Miss, owner: str) -> LocalAnswer:
        self._counters.fetches[miss.reason.value] += 1
        self._log("copy missed", f"{abbreviate(ask.token)} {miss.reason.value}")
        return self.problem(404, miss, ask)

    def problem(self, status: int, miss: Miss, ask: Ask) -> LocalAnswer:
        """A miss as ``application/problem+json`` (RFC 9457), with proof and digest: its reason can be believed."""
        body = problem_body(
            status, title="no copy here", reason=miss.reason.value, detail=miss.detail, owner=miss.owner
        )
        digest = repr_digest(digest_of(body))
        fields = [
            PROBLEM,
            *self.identity.digest_fields(ask.token, ask.nonce, digest),
            *GUARDS,
        ]
        return LocalAnswer(status, fields, body)

    def _later(self, why: str) -> LocalAnswer:
        self._counters.fetches["later"] += 1
        return problem(503, title="try again", fields=[(b"Retry-After", b"1")], detail=why)

    def _store_failed(self, error: Exception) -> LocalAnswer:
        if isinstance(error, PageNotReady):
            return self._later(str(error))
        self._store_is(False, _why(error))
        return self._later("the store fails")

    def drop(self, ask: Ask) -> Deferred[LocalAnswer]:
        """Answer ``DELETE``: the crawler has it safely."""
        try:
            owner = self._tokens.owner_of(ask.token)
        except TokenError:
            return succeed(self._missed(ask, Miss(MissReason.UNKNOWN, "not a token of this farm's"), ""))
        return Deferred.fromCoroutine(self._drop(ask, owner))

    async def _drop(self, ask: Ask, owner: str) -> LocalAnswer:
        try:
            dropped = await self._stays(ask.token) or await self._store.drop(ask.token)
            found = None if dropped else await self._store.peek(ask.token)
        except Exception as error:
            return self._store_failed(error)
        if dropped:
            self._counters.fetches["dropped"] += 1
            return no_content()
        if found == Miss(MissReason.UNKNOWN):
            answer = await self._elsewhere(b"DELETE", owner, ask)
            if answer is not None:
                return answer
            if owner != self._node:
                return self._missed(ask, Miss(MissReason.MISROUTED, owner=owner), owner)
        return self._missed(ask, found if isinstance(found, Miss) else Miss(MissReason.UNKNOWN), owner)

    async def _stays(self, token: str) -> bool:
        if self.outlives is _goes:
            return False
        held = await self._store.peek(token)
        return isinstance(held, Page) and self.outlives(held.url)

    def url_of(self, token: str) -> Deferred[str]:
        """The address of a copy held here, empty where none is."""

        def told(found: Page | Miss) -> str:
            return found.url if isinstance(found, Page) else ""

        return maybeDeferred(self._store.peek, token).addCallbacks(told, lambda _: "")


def _goes(url: str) -> bool:
    return False


def _why(error: BaseException | None) -> str:
    return str(error) if isinstance(error, StoreError) else type(error).__name__

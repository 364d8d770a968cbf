"""The store of a node that is several processes: what is not here may be with a sibling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from zope.interface import directlyProvides

from lbcompanion.errors import PageNotReady, StoreError
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.node.processes.siblings import Siblings
from lbcompanion.protocol.copies import Frame, page_from_frame, page_to_frame
from lbcompanion.stores.delegating import DelegatingStore
from lbcompanion.stores.interface import IImmediateStore, IPageStore

# So many copies that a sibling gave are remembered until they are sent.
_MAX_GIVERS = 1000
# So many copies are on their way to another process at a time, when this one leaves.
_CONCURRENCY = 8


class SharedStore(DelegatingStore):
    """Keeps in the store inside, and finds in the siblings' as well. All other calls concern the store inside alone.

    :param inner: this process's own.
    :param siblings: None: there are none, and never will be.
    """

    def __init__(self, inner: Any, siblings: Siblings | None) -> None:
        super().__init__(inner)
        self._siblings = siblings
        self._givers: OrderedDict[str, str] = OrderedDict()
        if IImmediateStore.providedBy(inner):
            directlyProvides(self, IImmediateStore)
            #: Keeps a copy here at once; see :class:`~lbcompanion.stores.interface.IImmediateStore`.
            self.put_now = inner.put_now

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """The copy, or why there is none. Fails with ``PageNotReady`` where a sibling has not got all of it yet."""
        return Deferred.fromCoroutine(self._find("peek", self.inner.peek, token))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """The same, for sending."""
        return Deferred.fromCoroutine(self._find("take", self.inner.take, token))

    def sent(self, token: str) -> Deferred[None]:
        """The copy went out whole: whoever has it hears of it."""
        giver = self._givers.pop(token, None)
        if giver is None or self._siblings is None:
            return self.inner.sent(token)
        telling: Deferred[Any] = Deferred.fromCoroutine(
            self._siblings.ask(giver, Frame({"do": "sent", "token": token}))
        )
        return telling.addBoth(lambda _: None)

    def drop(self, token: str) -> Deferred[bool]:
        """The crawler has it safely, whoever had it."""
        return Deferred.fromCoroutine(self._drop(token))

    async def _find(self, verb: str, find: Callable[[str], Deferred[Page | Miss]], token: str) -> Page | Miss:
        found = await find(token)
        if self._siblings is None or isinstance(found, Page) or found.reason is not MissReason.UNKNOWN:
            return found
        answers = await self._siblings.ask_all(Frame({"do": verb, "token": token}))
        reasons = [found]
        for name, answer in answers.items():
            if "page" in answer.values:
                self._remember_giver(token, name)
                return page_from_frame(answer)
            if answer.values.get("pending"):
                raise PageNotReady("the page is still on its way")
            if "reason" in answer.values:
                reasons.append(Miss(MissReason(answer.values["reason"]), str(answer.values.get("detail", ""))))
        # Whoever had the copy knows best why it is gone; of those that know nothing, one that says why.
        return min(reasons, key=lambda miss: (miss.reason is MissReason.UNKNOWN, not miss.detail))

    async def _drop(self, token: str) -> bool:
        if await self.inner.drop(token):
            return True
        if self._siblings is None:
            return False
        answers = await self._siblings.ask_all(Frame({"do": "drop", "token": token}))
        return any(answer.values.get("dropped") is True for answer in answers.values())

    def _remember_giver(self, token: str, name: str) -> None:
        self._givers[token] = name
        if len(self._givers) > _MAX_GIVERS:
            self._givers.popitem(last=False)


class SiblingRequestHandler:
    """Answers what siblings ask of this process's own store.

    :param is_pending: whether a page of that token is being captured here.
    """

    def __init__(self, store: IPageStore, is_pending: Callable[[str], bool]) -> None:
        self._store = store
        self._on_its_way = is_pending

    async def answer(self, request: Frame) -> Frame:
        """Answer.

        :raises ValueError: (KeyError, TypeError) for a question that makes no sense.
        """
        verb, token = request.values["do"], request.values.get("token", "")
        if verb in {"peek", "take"}:
            return await self._find(verb, token)
        if verb == "drop":
            return Frame({"dropped": await self._store.drop(token)})
        if verb == "sent":
            await self._store.sent(token)
            return Frame({})
        if verb == "put":
            await self._store.put(page_from_frame(request))
            return Frame({"kept": True})
        raise ValueError("no such question")

    async def _find(self, verb: str, token: str) -> Frame:
        if self._on_its_way(token):
            return Frame({"pending": True})
        found = await (self._store.take(token) if verb == "take" else self._store.peek(token))
        if isinstance(found, Page):
            return page_to_frame(found)
        return Frame({"reason": found.reason.value, "detail": found.detail})


class SuccessorExport:
    """Gives all copies to the processes of another group, before this one leaves.

    :ivar exported: how many went over.
    :ivar failed: the tokens of those that could not go.
    """

    def __init__(self, store: IPageStore, siblings: Siblings, group: str) -> None:
        self._store = store
        self._siblings = siblings
        self._group = group
        self._remaining: list[str] = []
        self.exported = 0
        self.failed: list[str] = []

    @property
    def lost(self) -> list[str]:
        """The tokens of those that could not be given, or have not been yet."""
        return [*self.failed, *self._remaining]

    async def run(self) -> None:
        """Give them, the youngest first: those are waited for the longest; several at a time."""
        self._remaining = await self._store.tokens()
        await DeferredList([Deferred.fromCoroutine(self._export()) for _ in range(_CONCURRENCY)], consumeErrors=True)

    async def _export(self) -> None:
        while self._remaining:
            token = self._remaining.pop()
            try:
                page = await self._store.peek(token)
                if isinstance(page, Page):
                    await self._export_one(page)
                    self.exported += 1
            except StoreError:
                self.failed.append(token)
            except CancelledError:  # the time is over
                self.failed.append(token)
                return

    async def _export_one(self, page: Page) -> None:
        """Give a copy to one of them, each time to another.

        :raises StoreError: where none takes it.
        """
        names = [name for name in self._siblings.names() if name.startswith(f"{self._group}-")]
        start = self.exported % len(names) if names else 0
        for name in names[start:] + names[:start]:
            try:
                answer = await self._siblings.ask(name, page_to_frame(page, do="put"))
            except StoreError:
                continue
            if answer.values.get("kept") is True:
                return
        raise StoreError("none of them takes it")

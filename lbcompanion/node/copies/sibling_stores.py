"""The store of a node of several processes: looks a copy up in this process, then in its siblings."""

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

# Copies from siblings that are remembered until they are sent.
_MAX_GIVERS = 1000
# The detail of the answer 503.
_SILENT = "a process of this node does not respond, and may have the copy"
# Copies that are transferred in parallel when this process stops.
_CONCURRENCY = 8


class SiblingStores(DelegatingStore):
    """Stores in the inner store, and looks copies up in the siblings' stores too. Other calls use the inner store only.

    :param inner: this process's own store.
    :param siblings: the other processes; None if there can be none.
    """

    def __init__(self, inner: Any, siblings: Siblings | None) -> None:
        super().__init__(inner)
        self._siblings = siblings
        self._givers: OrderedDict[str, str] = OrderedDict()
        if IImmediateStore.providedBy(inner):
            directlyProvides(self, IImmediateStore)
            #: Stores a copy synchronously; see :class:`~lbcompanion.stores.interface.IImmediateStore`.
            self.put_now = inner.put_now

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """The copy, or why there is none.

        Fails with ``PageNotReady`` while a sibling is capturing it, or if a sibling that may have it does not respond.
        """
        return Deferred.fromCoroutine(self._find("peek", self.inner.peek, token))

    def take(self, token: str) -> Deferred[Page | Miss]:
        """The copy, to be sent to the crawler, or why there is none."""
        return Deferred.fromCoroutine(self._find("take", self.inner.take, token))

    def url_of(self, token: str) -> Deferred[str]:
        """The URL of a copy, without its body; empty if no process has it."""
        return Deferred.fromCoroutine(self._url_of(token))

    async def _url_of(self, token: str) -> str:
        url = await self.inner.url_of(token)
        if url or self._siblings is None:
            return url
        asked = await self._siblings.ask_all(Frame({"do": "url", "token": token}))
        return next((str(answer.values["url"]) for answer in asked.answers.values() if answer.values.get("url")), "")

    def sent(self, token: str) -> Deferred[None]:
        """Report to the process that has the copy that it was sent."""
        giver = self._givers.pop(token, None)
        if giver is None or self._siblings is None:
            return self.inner.sent(token)
        telling: Deferred[Any] = Deferred.fromCoroutine(
            self._siblings.ask(giver, Frame({"do": "sent", "token": token}))
        )
        return telling.addBoth(lambda _: None)

    def drop(self, token: str) -> Deferred[bool]:
        """Drop a copy that the crawler has archived, in any process."""
        return Deferred.fromCoroutine(self._drop(token))

    async def _find(self, verb: str, find: Callable[[str], Deferred[Page | Miss]], token: str) -> Page | Miss:
        found = await find(token)
        if self._siblings is None or isinstance(found, Page) or found.reason is not MissReason.UNKNOWN:
            return found
        asked = await self._siblings.ask_all(Frame({"do": verb, "token": token}))
        reasons = [found]
        for name, answer in asked.answers.items():
            if "page" in answer.values:
                self._remember_giver(token, name)
                return page_from_frame(answer)
            if answer.values.get("pending"):
                raise PageNotReady("the page is still on its way")
            if "reason" in answer.values:
                reasons.append(Miss(MissReason(answer.values["reason"]), str(answer.values.get("detail", ""))))
        if asked.silent and all(miss.reason is MissReason.UNKNOWN for miss in reasons):
            raise PageNotReady(_SILENT)
        # A process that had the copy knows why it is gone; otherwise prefer a reason with a detail.
        return min(reasons, key=lambda miss: (miss.reason is MissReason.UNKNOWN, not miss.detail))

    async def _drop(self, token: str) -> bool:
        if await self.inner.drop(token):
            return True
        if self._siblings is None:
            return False
        asked = await self._siblings.ask_all(Frame({"do": "drop", "token": token}))
        if any(answer.values.get("dropped") is True for answer in asked.answers.values()):
            return True
        if asked.silent:
            raise PageNotReady(_SILENT)
        return False

    def _remember_giver(self, token: str, name: str) -> None:
        self._givers[token] = name
        if len(self._givers) > _MAX_GIVERS:
            self._givers.popitem(last=False)


class SiblingRequestHandler:
    """Answers requests of siblings from this process's own store.

    :param is_pending: whether the page of a token is being captured here.
    """

    def __init__(self, store: IPageStore, is_pending: Callable[[str], bool]) -> None:
        self._store = store
        self._is_pending = is_pending

    async def answer(self, request: Frame) -> Frame:
        """Answer a request.

        :raises ValueError: (KeyError, TypeError) for a malformed request.
        """
        verb, token = request.values["do"], request.values.get("token", "")
        if verb in {"peek", "take"}:
            return await self._find(verb, token)
        if verb == "url":
            return Frame({"url": await self._store.url_of(token)})
        if verb == "drop":
            return Frame({"dropped": await self._store.drop(token)})
        if verb == "sent":
            await self._store.sent(token)
            return Frame({})
        if verb == "put":
            await self._store.put(page_from_frame(request))
            return Frame({"kept": True})
        raise ValueError("unknown request")

    async def _find(self, verb: str, token: str) -> Frame:
        if self._is_pending(token):
            return Frame({"pending": True})
        found = await (self._store.take(token) if verb == "take" else self._store.peek(token))
        if isinstance(found, Page):
            return page_to_frame(found)
        return Frame({"reason": found.reason.value, "detail": found.detail})


class SuccessorExport:
    """Transfers all copies to the processes of the group that takes over.

    :ivar exported: the number of transferred copies.
    :ivar failed: the tokens of copies that could not be transferred.
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
        """The tokens of copies that failed or have not been transferred yet."""
        return [*self.failed, *self._remaining]

    async def run(self) -> None:
        """Transfer all copies, several in parallel; the youngest first, since their fetch is furthest away."""
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
            except CancelledError:  # the timeout has passed
                self.failed.append(token)
                return

    async def _export_one(self, page: Page) -> None:
        """Transfer a copy to one process, in turn.

        :raises StoreError: if no process takes it.
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
        raise StoreError("no process takes it")

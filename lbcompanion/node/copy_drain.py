"""Transfers the copies of a process that stops (docs/running.rst)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError
from lbcompanion.model import LossCode, LossReason
from lbcompanion.node.copies.peer_export import PeerExport
from lbcompanion.node.copies.sibling_stores import SuccessorExport
from lbcompanion.node.notices.sender import NoticeSender
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.processes.siblings import Siblings
from lbcompanion.protocol.copies import Frame
from lbcompanion.stores.interface import IPageStore

#: How long the transfer may take, in addition to the time that the running requests left.
HAND_OVER_SECONDS = 6.0
#: The part of it that is reserved for reporting lost copies to the crawler.
TELL_SECONDS = 1.0


class CopyDrain:
    """Transfers the copies to the processes that take over, else to peers, and reports the lost ones.

    :param store: this process's own store.
    :param in_memory: whether its copies are lost when this process exits.
    :param siblings: the other processes of this node; None if there can be none.
    :param spool: where reports to the crawler are queued; None sends none.
    :param notice_sender: returns a sender for the spool, and whether it was created for this call.
    :ivar copy_outcome: what became of the copies: ``handed_over``, ``kept`` and ``lost`` to their numbers.
    """

    def __init__(
        self,
        *,
        store: IPageStore,
        in_memory: bool,
        siblings: Siblings | None,
        peer_export: PeerExport,
        spool: Spool | None,
        notice_sender: Callable[[Spool], tuple[NoticeSender, bool]],
        reactor: Any,
        log: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._in_memory = in_memory
        self._siblings = siblings
        self._peer_export = peer_export
        self._spool = spool
        self._get_notice_sender = notice_sender
        self._reactor = reactor
        self._log = log
        self.copy_outcome: dict[str, int] = {}

    async def run(self, successor: str | None, seconds: float = HAND_OVER_SECONDS) -> None:
        """Transfer the copies.

        :param successor: the group of processes that takes over the ports; None if none does.
        :param seconds: how long it may take, without the time to cancel a delivery.
        """
        deadline = self._reactor.seconds() + seconds - TELL_SECONDS
        taken_over = successor is not None and self._siblings is not None
        if successor is not None and self._siblings is not None:
            lost = await self._to_successor(self._siblings, successor, deadline)
        elif self._in_memory:
            lost = await self._to_peers(deadline)
        else:
            lost = {}
            await self._log_kept()
        if lost and self._in_memory:
            await self._report(lost, taken_over=taken_over)

    async def _to_successor(self, siblings: Siblings, successor: str, deadline: float) -> dict[str, LossReason]:
        export = SuccessorExport(self._store, siblings, successor)
        try:
            await Deferred.fromCoroutine(export.run()).addTimeout(
                max(deadline - self._reactor.seconds(), 0.0), self._reactor
            )
        except Exception as error:
            self._log("not all copies handed over", type(error).__name__)
        lost = export.lost
        self._log("copies handed over", f"{export.exported}, {len(lost)} lost")
        self.copy_outcome = {"handed_over": export.exported, "lost": len(lost)}
        return dict.fromkeys(lost, LossReason.of(LossCode.NOT_TAKEN_OVER))

    async def _to_peers(self, deadline: float) -> dict[str, LossReason]:
        peer_export = self._peer_export
        try:
            await peer_export.run(deadline)
        except StoreError as error:
            self._log("copies not given to peers", str(error))
        exported, lost = peer_export.exported.total(), peer_export.lost
        if exported:
            self.copy_outcome["handed_over"] = exported
            exported_to = ", ".join(f"{count} to {name}" for name, count in sorted(peer_export.exported.items()))
            self._log("copies handed over to peers", f"{exported_to}; {len(lost)} lost")
        if exported or lost:
            self.copy_outcome["lost"] = len(lost)
        for why, count in Counter(lost.values()).items():
            self._log("copies lost", f"{count}: {why.text}")
        return lost

    async def _log_kept(self) -> None:
        try:
            kept_copies = len(await self._store.tokens())
        except StoreError:
            return
        if kept_copies:
            self.copy_outcome["kept"] = kept_copies
            self._log("copies kept", f"{kept_copies}: they outlast this process, in its store")

    async def _report(self, lost: Mapping[str, LossReason], *, taken_over: bool) -> None:
        """Report the lost copies to the crawler, which then stops waiting for them.

        The report goes into the spool first: a crawler that is down gets it after the node's next start."""
        if self._spool is None:
            return
        try:
            await self._spool.add_losses({token: why.text for token, why in lost.items()})
        except StoreError as error:
            self._log("lost copies not reported", str(error))
            return
        if taken_over and self._siblings is not None:
            # The successor's sender starts when it is woken.
            await self._siblings.ask_all(Frame({"do": "wake"}))
            return
        # The process that sends notices for all may have stopped already.
        notice_sender, is_for_this = self._get_notice_sender(self._spool)
        await notice_sender.flush(TELL_SECONDS)
        if is_for_this:
            await notice_sender.stop()

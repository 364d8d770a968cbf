"""The hand-over of copies when a node's process stops."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbcompanion.errors import StoreError
from lbcompanion.model import LossCode, LossReason
from lbcompanion.node.copy_drain import CopyDrain
from lbcompanion.settings import StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore, ManualWallClock, make_page


class PeerExport:
    """Gives what it is made with."""

    def __init__(self, lost: dict[str, LossReason] | None = None, fails: bool = False, **given: int) -> None:
        self.exported, self.lost, self._fails = Counter(given), lost or {}, fails

    async def run(self, until: float) -> None:
        if self._fails:
            raise StoreError("down")


def drained(peer_export: PeerExport, store: Any = None, in_memory: bool = True) -> tuple[CopyDrain, list[str]]:
    logged: list[str] = []
    over = CopyDrain(
        store=store or MemoryStore(StoreTable(), ManualWallClock()),
        in_memory=in_memory,
        siblings=None,
        peer_export=peer_export,  # type: ignore[arg-type]
        spool=None,
        notice_sender=lambda spool: (None, False),  # type: ignore[arg-type, return-value]
        reactor=Clock(),
        log=lambda what, more: logged.append(f"{what}: {more}"),
    )
    done = Deferred.fromCoroutine(over.run(None))
    assert done.called
    return over, logged


def test_what_peers_took_and_what_is_lost_is_reported() -> None:
    why = LossReason.of(LossCode.NO_PEERS)
    over, logged = drained(PeerExport({"token": why}, n2=2, n3=1))
    assert over.copy_outcome == {"handed_over": 3, "lost": 1}
    assert logged == ["copies handed over to peers: 2 to n2, 1 to n3; 1 lost", f"copies lost: 1: {why.text}"]


def test_without_copies_there_is_nothing_to_tell() -> None:
    over, logged = drained(PeerExport())
    assert (over.copy_outcome, logged) == ({}, [])


def test_a_store_that_outlasts_the_process_keeps_them() -> None:
    store = MemoryStore(StoreTable(), ManualWallClock())
    store.put(make_page("token"))
    over, logged = drained(PeerExport(n2=1), store, in_memory=False)
    assert over.copy_outcome == {"kept": 1}
    assert len(logged) == 1


def test_a_store_that_fails_stops_nothing() -> None:
    over, logged = drained(PeerExport(fails=True))
    assert (over.copy_outcome, logged) == ({}, ["copies not given to peers: down"])
    failing = FailingStore(MemoryStore(StoreTable(), ManualWallClock()))
    assert drained(PeerExport(), failing, in_memory=False)[0].copy_outcome == {}

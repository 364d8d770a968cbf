"""Memory with slow readers: how much a peer's grows while visitors take their downloads a little at a time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from bench.load import Load, WrongAnswer
from bench.peers.interface import Peer, PeerFailed
from bench.system_info import resident_megabytes
from bench.workload import CASES

#: What they download.
CASE = CASES["64m-length"]
#: A peer that has grown by so much is stopped: it may not take the machine down.
MAX_MEGABYTES = 1024.0


@frozen
class Growth:
    """The measured figures.

    :ivar before_mb: resident memory of a peer that has just passed on a few pages.
    :ivar growth_mb: how much more it was at its largest.
    :ivar stopped: it was ended for having grown beyond :data:`MAX_MEGABYTES`.
    """

    before_mb: float
    growth_mb: float
    stopped: bool


@define
class _Watch:
    peer: Peer
    most: float = 0.0
    stopped: bool = False

    def look(self) -> None:
        if self.stopped:
            return
        self.most = max(self.most, resident_megabytes(self.peer.pids))

    def guard(self, limit: float) -> None:
        self.look()
        if self.most > limit and not self.stopped:
            self.stopped = True
            self.peer.stop()


def measure(peer: Peer, load: Load, seconds: float, max_megabytes: float = MAX_MEGABYTES) -> Growth:
    """Start a fresh peer, let the readers come, stop it again.

    :param seconds: how long they read.
    :raises PeerFailed: for bytes that are not those of the application.
    """
    peer.start()
    try:
        warm = CASES["page-10k"]
        load.put(peer.port, warm.key, peer.tagged, 100, 20)
        watch = _Watch(peer)
        watch.look()
        before = watch.most
        guard: Callable[[], None] = lambda: watch.guard(before + max_megabytes)  # noqa: E731
        try:
            load.sip(peer.port, CASE.key, CASE.connections, seconds, guard)
        except WrongAnswer:
            if not watch.stopped:
                raise
        return Growth(before, watch.most - before, watch.stopped)
    except WrongAnswer as error:
        raise PeerFailed(f"{peer.name}, slow readers: {error}") from None
    finally:
        peer.stop()

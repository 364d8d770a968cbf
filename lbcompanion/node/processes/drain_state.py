"""The drain state of this node: whether it is draining, and whether the balancers have noticed."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

# A balancer that checked readiness within this time is waited for.
_RECENT_CHECK_SECONDS = 15.0
_MAX_WAIT_SECONDS = 5.0
# Balancers take a node out after some failed checks, usually two.
_ANSWERS_TO_WAIT_FOR = 2


class DrainState:
    """Whether the node is stopping; ``/readyz`` answers by this.

    :ivar draining: whether the node is stopping.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._last_check_at = float("-inf")
        self._draining_answers = 0
        self.draining = False

    def note_check(self) -> None:
        """Record a readiness check."""
        self._last_check_at = self._reactor.seconds()
        if self.draining:
            self._draining_answers += 1

    async def leave(self, *, quietly: bool) -> None:
        """Answer 503 at ``/readyz`` from now on, and wait until two checks got it (at most 5 s).

        :param quietly: do not wait, because another process goes on serving.
        """
        self.draining = True
        seconds = self._reactor.seconds
        started_at = seconds()
        if quietly or started_at - self._last_check_at > _RECENT_CHECK_SECONDS:
            return
        while self._draining_answers < _ANSWERS_TO_WAIT_FOR and seconds() - started_at < _MAX_WAIT_SECONDS:
            await deferLater(self._reactor, 0.1, lambda: None)

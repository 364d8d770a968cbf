"""Whether this node is about to stop, and whether the balancers that ask have read it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

# Somebody who asked for readiness within this time is waited for.
_ASKED_LATELY_SECONDS = 15.0
_MAX_WAIT_SECONDS = 5.0
# A balancer takes a node out after some failed checks; two answers are the usual number.
_ANSWERS = 2


class Leaving:
    """The state of ``/readyz`` while the node stops.

    :ivar begun: whether the node is about to stop.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._asked_at = float("-inf")
        self._answers = 0
        self.begun = False

    def asked(self) -> None:
        """Somebody asks for readiness."""
        self._asked_at = self._reactor.seconds()
        if self.begun:
            self._answers += 1

    async def leave(self, quietly: bool) -> None:
        """Answer 503 at ``/readyz`` from now on, and wait until the balancers that ask have read it (at most 5 s).

        :param quietly: do not wait: another process goes on serving.
        """
        self.begun = True
        seconds = self._reactor.seconds
        begun_at = seconds()
        if quietly or begun_at - self._asked_at > _ASKED_LATELY_SECONDS:
            return
        while self._answers < _ANSWERS and seconds() - begun_at < _MAX_WAIT_SECONDS:
            await deferLater(self._reactor, 0.1, lambda: None)

"""The life cycle that a node's processes have in common."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.node.processes.node_process import NodeProcess


class StoppableClock(Clock):
    """A reactor that counts how often it is stopped."""

    stops = 0

    def stop(self) -> None:
        self.stops += 1


class ScriptedProcess(NodeProcess):
    """Starts when it is let, and stops at once."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor=reactor, log_namespace="test", role=None)
        self.go_on: Deferred[None] = Deferred()
        self.stopped = False

    @property
    def successor(self) -> str | None:
        return self._successor

    async def _start(self) -> None:
        await self.go_on

    async def _stop(self) -> None:
        self.stopped = True


class NodeProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = StoppableClock()
        self.process = ScriptedProcess(self.reactor)

    def test_a_start_and_a_stop(self) -> None:
        starting = self.process.startService()
        self.assertNoResult(starting)
        self.assertNoResult(self.process.started)
        self.process.go_on.callback(None)
        self.successResultOf(starting)
        self.successResultOf(self.process.started)
        self.successResultOf(self.process.stopService())
        assert self.process.stopped

    def test_a_failed_start_is_reported_once(self) -> None:
        starting = self.process.startService()
        failures: list[Any] = []
        self.process.started.addErrback(failures.append)
        self.process.go_on.errback(OSError("in use"))
        self.failureResultOf(starting, OSError)
        assert [failure.type for failure in failures] == [OSError]
        assert self.flushLoggedErrors() == []

    def test_the_first_successor_stays(self) -> None:
        self.process.leave("group")
        self.process.leave(None)
        assert (self.process.successor, self.reactor.stops) == ("group", 1)

"""The life cycle that a node's processes have in common."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

import lbcompanion.node
from lbcompanion.node.health import CONTROL
from lbcompanion.node.processes.node_process import EVENT_LEVELS, NodeProcess
from tests.support.in_memory_node import settings

NODE = settings().node


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

    def test_a_control_socket_that_cannot_be_opened_is_tried_again(self) -> None:
        answers = [OSError(errno.ENOSPC, "No space left on device")] * 2

        def make(node: Any, sockets: Any) -> None:
            if answers:
                raise answers.pop()

        self.patch(self.process, "_make_control", make)
        self.process._open_control(NODE, list)
        assert self.process._health.problems() == [CONTROL.problem]
        self.reactor.advance(5)
        assert self.process._health.problems() == [CONTROL.problem]
        self.reactor.advance(5)
        assert self.process._health.problems() == []
        assert self.reactor.getDelayedCalls() == []

    def test_a_process_that_stops_tries_no_more(self) -> None:
        def make(node: Any, sockets: Any) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        self.patch(self.process, "_make_control", make)
        self.process._open_control(NODE, list)
        self.successResultOf(Deferred.fromCoroutine(self.process._close_control({})))
        assert self.reactor.getDelayedCalls() == []

    def test_the_first_successor_stays(self) -> None:
        self.process.leave("group")
        self.process.leave(None)
        assert (self.process.successor, self.reactor.stops) == ("group", 1)


def test_every_event_with_a_level_is_logged_somewhere() -> None:
    folder = Path(lbcompanion.node.__file__).parent
    sources = "".join(path.read_text() for path in folder.rglob("*.py") if path.name != "node_process.py")
    sources += (folder / "processes/node_process.py").read_text().partition("class ")[2]
    sources += (folder.parent / "endpoints/tls_listeners.py").read_text()
    assert [event for event in EVENT_LEVELS if f'"{event}"' not in sources] == []
    assert set(EVENT_LEVELS.values()) == {LogLevel.warn, LogLevel.error}

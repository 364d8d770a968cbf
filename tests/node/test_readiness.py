"""Whether balancers should send visitors here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.processes.drain_state import DrainState
from lbcompanion.node.readiness import Readiness


class Node:
    """Readiness before an application that refuses, or takes, connections."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.counters = Counters()
        self.copies = SimpleNamespace(store_works=True)
        self.other_problems: list[str] = []
        self.logged: list[str] = []
        self.readiness = Readiness(
            upstream="tcp:127.0.0.1:8000",
            reactor=self.reactor,
            counters=self.counters,
            copies=self.copies,  # type: ignore[arg-type]
            drain_state=DrainState(self.reactor),
            other_problems=lambda: self.other_problems,
            log=lambda what, why: self.logged.append(what),
        )
        self.readiness.start()

    def answer(self, works: bool) -> None:
        """The application's answer to the last attempt."""
        _, _, factory, _, _ = self.reactor.tcpClients[-1]
        connector: Any = self.reactor.connectors[-1]
        if not works:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            return
        factory.buildProtocol(None).makeConnection(StringTransport())


def test_an_application_that_cannot_be_reached_keeps_visitors_away_until_it_can() -> None:
    node = Node()
    node.answer(works=False)
    assert not node.readiness.ready
    assert node.readiness.problems() == ["the application cannot be reached"]
    node.reactor.advance(2.0)
    node.answer(works=True)
    assert (node.readiness.ready, node.readiness.problems()) == (True, [])
    assert node.logged == ["application not reached", "application reached again"]


def test_an_application_that_answers_visitors_is_not_knocked_at() -> None:
    node = Node()
    node.answer(works=True)
    node.counters.responses[200] += 1
    node.reactor.advance(2.0)
    assert len(node.reactor.tcpClients) == 1
    node.counters.responses[502] += 1
    node.reactor.advance(2.0)
    assert len(node.reactor.tcpClients) == 2
    node.readiness.stop()


def test_a_store_or_a_crawler_that_fails_keeps_nobody_away() -> None:
    node = Node()
    node.copies.store_works = False
    node.other_problems = ["the crawler cannot be reached; notices wait"]
    assert node.readiness.ready
    assert node.readiness.problems() == [
        "the store fails; pages pass without a copy",
        "the crawler cannot be reached; notices wait",
    ]


def test_a_node_that_leaves_is_not_ready() -> None:
    node = Node()
    node.readiness.drain_state.draining = True
    assert not node.readiness.ready
    assert node.readiness.problems() == ["the node is leaving"]

"""Whether a node takes visitors, as the built-in balancer knows it."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from lbcompanion.demo.backends import Backend, HealthChecks


@define
class Response:
    code: int

    def deliverBody(self, protocol: Any) -> None:
        """There is none."""


class Agent:
    """Answers for each host what it is told to."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.asked: list[str] = []

    def request(self, method: bytes, uri: bytes, headers: object, body: object) -> Deferred[Any]:
        self.asked.append(uri.decode())
        code = self.codes.get(uri.decode().split("/")[2])
        return fail(ConnectionRefusedError()) if code is None else succeed(Response(code))


def test_a_node_is_up_while_its_readyz_says_200() -> None:
    agent, clock = Agent(), Clock()
    backend = Backend("n1", "127.0.0.1:1", "127.0.0.1:2")
    checks = HealthChecks([backend], agent, clock)  # type: ignore[arg-type]
    checks.start()
    assert (agent.asked, backend.up) == (["http://127.0.0.1:2/readyz"], False)
    for code, up in ((200, True), (503, False), (200, True)):
        agent.codes["127.0.0.1:2"] = code
        clock.advance(0.5)
        assert backend.up is up
    checks.stop()
    assert clock.getDelayedCalls() == []


def test_a_node_without_such_an_address_is_not_asked() -> None:
    agent = Agent()
    backend = Backend("n1", "127.0.0.1:1")
    HealthChecks([backend], agent, Clock()).start()  # type: ignore[arg-type]
    assert (agent.asked, backend.up) == ([], True)

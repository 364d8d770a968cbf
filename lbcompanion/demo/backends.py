"""The built-in balancer's backends and their health checks."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from lbcompanion.loops import SteadyLoop

_CHECK_SECONDS = 0.5


@define
class Backend:
    """A node, as a backend of the balancer.

    :ivar name: its name, which is also the cookie's value.
    :ivar address: ``host:port`` of its public side.
    :ivar health: the address for health checks; without one the backend is always up.
    :ivar up: the result of the last check or the last request.
    """

    name: str
    address: str
    health: str = ""
    up: bool = True


class HealthChecks:
    """Checks twice a second whether the backends accept visitors."""

    def __init__(self, backends: Sequence[Backend], agent: IAgent, reactor: IReactorTime) -> None:
        self._backends = backends
        self._agent = agent
        self._loop = SteadyLoop(self._check_all, name="health checks", clock=reactor)

    def start(self) -> None:
        """Check now and then periodically."""
        self._loop.start(_CHECK_SECONDS)

    def stop(self) -> None:
        """End the checks."""
        self._loop.stop()

    def _check_all(self) -> Deferred[list[tuple[bool, None]]]:
        return DeferredList([self._check(backend) for backend in self._backends if backend.health])

    def _check(self, backend: Backend) -> Deferred[None]:
        def on_response(response: IResponse) -> None:
            backend.up = response.code == 200
            response.deliverBody(Protocol())

        def on_error(_: Failure) -> None:
            backend.up = False

        request = self._agent.request(b"GET", f"http://{backend.health}/readyz".encode(), Headers({}), None)
        return request.addCallbacks(on_response, on_error)


def one_shot_agent(reactor: object) -> Agent:
    """An agent that opens a connection for each request."""
    return Agent(reactor, connectTimeout=3, pool=HTTPConnectionPool(reactor, persistent=False))

"""Readiness: the application can be reached, and the node is not draining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.endpoints.strings import parse
from lbcompanion.loops import SteadyLoop
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.processes.drain_state import DrainState
from lbcompanion.node.transports.listening import client_endpoint

_CHECK_SECONDS = 2.0
_CONNECT_SECONDS = 2.0


class Readiness:
    """Checks the application periodically and lists the problems of the node.

    :param upstream: the application's client endpoint string.
    :param drain_state: whether the node is stopping.
    :param other_problems: returns the problems of parts that do not make the node unready, in words.
    """

    def __init__(
        self,
        *,
        upstream: str,
        reactor: Any,
        counters: Counters,
        copies: Copies,
        drain_state: DrainState,
        other_problems: Callable[[], list[str]],
        log: Callable[[str, str], None],
    ) -> None:
        self._reactor = reactor
        self._endpoint = client_endpoint(upstream, reactor)
        self._encrypted = parse(upstream).encrypted
        self._counters = counters
        self._copies = copies
        self.drain_state = drain_state
        self._other_problems = other_problems
        self._log = log
        self._checks = SteadyLoop(
            self._check, name="readiness", clock=reactor, count_error=counters.count_background_error
        )
        self._upstream_works = True
        self._answers_counted = 0

    def start(self) -> None:
        """Start the periodic check."""
        self._checks.start(_CHECK_SECONDS)

    def stop(self) -> None:
        """Stop the periodic check."""
        self._checks.stop()

    @property
    def ready(self) -> bool:
        """Whether balancers should send visitors here."""
        return self._upstream_works and not self.drain_state.draining

    def problems(self) -> list[str]:
        """The current problems, in words. Only the first two make the node unready."""
        found = []
        if self.drain_state.draining:
            found.append("the node is leaving")
        if not self._upstream_works:
            found.append("the application cannot be reached")
        if not self._copies.store_works:
            found.append("the store fails; pages pass without a copy")
        return [*found, *self._other_problems()]

    def _check(self) -> Deferred[None] | None:
        answers = sum(self._counters.responses.values()) - self._counters.responses[502] - self._counters.responses[504]
        answered, self._answers_counted = answers > self._answers_counted, answers
        if answered and self._upstream_works:
            # It answers visitors' requests, so it can be reached.
            return None
        probe = _UpstreamProbe(encrypted=self._encrypted)
        connecting: Deferred[Any] = self._endpoint.connect(_ProbeFactory(probe))
        connecting.addCallback(lambda _: probe.opened)
        connecting.addTimeout(_CONNECT_SECONDS, self._reactor)
        return connecting.addCallbacks(self._on_reached, self._on_unreachable)

    def _on_reached(self, _: None) -> None:
        self._set_upstream_works(works=True, why="")

    def _on_unreachable(self, failure: Failure) -> None:
        self._set_upstream_works(works=False, why=type(failure.value).__name__)

    def _set_upstream_works(self, *, works: bool, why: str) -> None:
        if works != self._upstream_works:
            self._upstream_works = works
            self._log("application reached again" if works else "application not reached", why)


@implementer(IHandshakeListener)
class _UpstreamProbe(Protocol):
    """A connection that is closed once it is established, over TLS once the certificate is verified."""

    def __init__(self, *, encrypted: bool) -> None:
        self.opened: Deferred[None] = Deferred(lambda _: self._leave())
        self._encrypted = encrypted

    def connectionMade(self) -> None:
        """Succeed unless TLS follows."""
        if not self._encrypted:
            self._opened()

    def handshakeCompleted(self) -> None:
        """Succeed: the certificate was verified."""
        self._opened()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail unless the probe has succeeded."""
        if not self.opened.called:
            self.opened.errback(reason)

    def _opened(self) -> None:
        if not self.opened.called:
            self.opened.callback(None)
        self._leave()

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _ProbeFactory(Factory):
    noisy = False

    def __init__(self, probe: _UpstreamProbe) -> None:
        self._probe = probe

    def buildProtocol(self, addr: object) -> Protocol:
        return self._probe

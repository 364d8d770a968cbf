"""Whether balancers should send visitors here: the application can be reached, and the node is not leaving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from lbcompanion.endpoints.strings import parse
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.processes.drain_state import Leaving
from lbcompanion.node.transports.listening import client_endpoint

_LOOK_SECONDS = 2.0
_CONNECT_SECONDS = 2.0


class Readiness:
    """Looks at the application from time to time, and says what is wrong.

    :param upstream: the application's client endpoint string.
    :param leaving: the state of a node that stops.
    :param crawler_reached: whether the last delivery of notices reached the crawler.
    """

    def __init__(
        self,
        *,
        upstream: str,
        reactor: Any,
        counters: Counters,
        copies: Copies,
        leaving: Leaving,
        crawler_reached: Callable[[], bool],
        log: Callable[[str, str], None],
    ) -> None:
        self._reactor = reactor
        self._endpoint = client_endpoint(upstream, reactor)
        self._encrypted = parse(upstream).encrypted
        self._counters = counters
        self._copies = copies
        self.leaving = leaving
        self._crawler_reached = crawler_reached
        self._log = log
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._upstream_works = True
        self._answers_seen = 0

    def start(self) -> None:
        """Begin to look."""
        self._looking.start(_LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    @property
    def ready(self) -> bool:
        """Whether visitors should come here."""
        return self._upstream_works and not self.leaving.begun

    def wrong(self) -> list[str]:
        """What is wrong now, in words. Only the first two keep visitors away."""
        said = []
        if self.leaving.begun:
            said.append("the node is leaving")
        if not self._upstream_works:
            said.append("the application cannot be reached")
        if not self._copies.store_works:
            said.append("the store fails; pages pass without a copy")
        if not self._crawler_reached():
            said.append("the crawler cannot be reached; notices wait")
        return said

    def _look(self) -> Deferred[None] | None:
        answers = sum(self._counters.responses.values()) - self._counters.responses[502] - self._counters.responses[504]
        answered, self._answers_seen = answers > self._answers_seen, answers
        if answered and self._upstream_works:
            # It answers visitors: nothing proves better that it can be reached.
            return None
        knock = _Knock(self._encrypted)
        connecting: Deferred[Any] = self._endpoint.connect(_Knocking(knock))
        connecting.addCallback(lambda _: knock.opened)
        connecting.addTimeout(_CONNECT_SECONDS, self._reactor)
        return connecting.addCallbacks(self._works, self._fails)

    def _works(self, _: None) -> None:
        self._upstream_is(True, "")

    def _fails(self, failure: Failure) -> None:
        self._upstream_is(False, type(failure.value).__name__)

    def _upstream_is(self, works: bool, why: str) -> None:
        if works != self._upstream_works:
            self._upstream_works = works
            self._log("application reached again" if works else "application not reached", why)


@implementer(IHandshakeListener)
class _Knock(Protocol):
    """A connection that only wants to know whether somebody is there, and over TLS whether it is the right one."""

    def __init__(self, encrypted: bool) -> None:
        self.opened: Deferred[None] = Deferred(lambda _: self._leave())
        self._encrypted = encrypted

    def connectionMade(self) -> None:
        """Somebody is there."""
        if not self._encrypted:
            self._opened()

    def handshakeCompleted(self) -> None:
        """It is the right one."""
        self._opened()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nobody opened, unless somebody did before."""
        if not self.opened.called:
            self.opened.errback(reason)

    def _opened(self) -> None:
        if not self.opened.called:
            self.opened.callback(None)
        self._leave()

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _Knocking(Factory):
    noisy = False

    def __init__(self, knock: _Knock) -> None:
        self._knock = knock

    def buildProtocol(self, addr: object) -> Protocol:
        return self._knock

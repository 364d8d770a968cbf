"""Connections that are kept for further requests, separately for each route.

A balancer may send all requests of one connection to the node of the first one. So a connection serves the requests
of one route only, and it is closed as soon as an answer on it came from another node than the route's. Requests that
ask which node a cookie leads to get new connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web._newclient import Request, RequestNotSent, RequestTransmissionFailed
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IResponse

from lbcompanion.web import MAX_HEAD_BYTES, BoundedHeadFactory, BoundedHeadProtocol

#: How long a connection is kept without a request: less than the keep-alive time of Apache (5 s), the shortest of the
#: common balancers'.
IDLE_SECONDS = 4.0
#: The most connections of one site that are kept without a request. It is twice the default of ``concurrency``: the
#: nodes' shares of the requests change, and each route needs connections of its own.
MAX_IDLE = 64

_NO_ANSWER = (RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived)


@frozen
class ConnectionKey:
    """The values that all requests of a kept connection share.

    :ivar route: the name of the route.
    """

    scheme: bytes
    host: bytes
    port: int
    route: str


class KeptProtocol(BoundedHeadProtocol):
    """A connection that may serve several requests.

    :ivar idle_since: when its last response ended.
    """

    idle_since = 0.0
    _first_cookies: list[bytes] | None = None

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send a request.

        The response has ``on_shared_connection`` if the first request of the connection had other cookies. Such a
        response does not prove that these cookies lead to its node.
        """
        cookies = request.headers.getRawHeaders(b"cookie") or []
        if self._first_cookies is None:
            self._first_cookies = cookies
        sending = super().request(request)
        if cookies != self._first_cookies:
            sending.addCallback(_mark_shared)
        return sending

    def close(self) -> None:
        """Close the connection, which has no request."""
        if self.transport is not None:
            self.transport.loseConnection()

    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return self.state == "QUIESCENT" and not getattr(self.transport, "disconnecting", False)


def _mark_shared(response: Any) -> Any:
    response.on_shared_connection = True
    return response


class _KeptFactory(BoundedHeadFactory):
    protocol_class = KeptProtocol


class KeptConnections:
    """The kept connections of one site.

    :param reactor: for the time, and to close connections that were not used for a while.
    :param idle_seconds: how long a connection is kept without a request.
    :param max_idle: how many are kept; above that the one that has waited longest is closed.
    :param max_head_bytes: a response with a longer head fails.
    """

    def __init__(
        self,
        reactor: Any,
        idle_seconds: float = IDLE_SECONDS,
        max_idle: int = MAX_IDLE,
        max_head_bytes: int = MAX_HEAD_BYTES,
    ) -> None:
        self._reactor = reactor
        self._max_head_bytes = max_head_bytes
        self._idle_seconds = idle_seconds
        self._max_idle = max_idle
        # In the order in which they became idle.
        self._idle: dict[KeptProtocol, ConnectionKey] = {}
        self._by_key: dict[ConnectionKey, list[KeptProtocol]] = {}
        self._timer: IDelayedCall | None = None
        self._closed = False

    def send(self, key: ConnectionKey, endpoint: IStreamClientEndpoint, request: Request) -> Deferred[IResponse]:
        """Send an idempotent request on a kept connection, or on a new one if there is none.

        It is sent once more, on a new connection, if a kept connection ended before any byte of the answer: the server
        may have closed it at the same moment.
        """
        kept = self._take(key)
        if kept is None:
            return self._send_on_new(key, endpoint, request)
        return kept.request(request).addErrback(self._send_again, key, endpoint, request)

    def _send_on_new(
        self, key: ConnectionKey, endpoint: IStreamClientEndpoint, request: Request
    ) -> Deferred[IResponse]:
        factory = _KeptFactory(lambda connection: self._keep(key, connection), repr(endpoint))  # type: ignore[no-untyped-call]
        factory.max_head_bytes = self._max_head_bytes
        connecting: Deferred[Any] = endpoint.connect(factory)
        return connecting.addCallback(lambda connection: connection.request(request))

    def _send_again(
        self, failure: Failure, key: ConnectionKey, endpoint: IStreamClientEndpoint, request: Request
    ) -> Any:
        reasons = getattr(failure.value, "reasons", [])
        if not failure.check(*_NO_ANSWER) or any(reason.check(CancelledError) for reason in reasons):
            return failure
        return self._send_on_new(key, endpoint, request)

    def _take(self, key: ConnectionKey) -> KeptProtocol | None:
        """Return the connection that was used last: the others may then grow old and be closed."""
        waiting = self._by_key.get(key, [])
        while waiting:
            connection = waiting[-1]
            self._remove(connection)
            if connection.is_usable():
                return connection
        return None

    def _keep(self, key: ConnectionKey, connection: KeptProtocol) -> None:
        """Keep a connection whose response has ended."""
        if self._closed:
            connection.close()
            return
        connection.idle_since = self._reactor.seconds()
        self._idle[connection] = key
        self._by_key.setdefault(key, []).append(connection)
        if len(self._idle) > self._max_idle:
            self._close(next(iter(self._idle)))
        if self._timer is None:
            self._timer = self._reactor.callLater(self._idle_seconds, self._close_old)

    def _remove(self, connection: KeptProtocol) -> None:
        key = self._idle.pop(connection)
        others = self._by_key[key]
        others.remove(connection)
        if not others:
            del self._by_key[key]

    def _close(self, connection: KeptProtocol) -> None:
        self._remove(connection)
        connection.close()

    def _close_old(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        for connection in self._oldest():
            left = connection.idle_since + self._idle_seconds - now
            if left > 0:
                self._timer = self._reactor.callLater(left, self._close_old)
                return
            self._close(connection)

    def _oldest(self) -> Iterator[KeptProtocol]:
        while self._idle:
            yield next(iter(self._idle))

    @property
    def idle(self) -> int:
        """The number of connections without a request."""
        return len(self._idle)

    def forget(self, route: str) -> None:
        """Close the idle connections of a route: one of its answers came from another node."""
        for connection in [one for one, key in self._idle.items() if key.route == route]:
            self._close(connection)

    def close(self) -> None:
        """Close all idle connections, and keep no more."""
        self._closed = True
        for connection in list(self._idle):
            self._close(connection)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

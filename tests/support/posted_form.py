"""A POST to a listener of twisted.web, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource


class NotingResource(Resource):
    """A resource that notes what a handler sees of a POST.

    :ivar seen: the parameters, the ``Content-Type`` and the body.
    """

    isLeaf = True
    seen: tuple[Any, bytes | None, bytes] | None = None

    def render_POST(self, request: Any) -> bytes:
        """Note it."""
        self.seen = (request.args, request.getHeader(b"content-type"), request.content.read())
        return b"done"


def post(site: Any, content_type: bytes, body: bytes = b"a=b") -> bytes:
    """Send a POST to ``/?c=d``; return the response."""
    transport = StringTransport()
    channel = site.buildProtocol(None)
    channel.makeConnection(transport)
    length = b"%d" % len(body)
    channel.dataReceived(
        b"POST /?c=d HTTP/1.0\r\nContent-Type: " + content_type + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body
    )
    channel.connectionLost(Failure(ConnectionLost()))
    received: bytes = transport.value()
    return received

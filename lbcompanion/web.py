"""Parts for twisted.web and treq that node, crawler and demo share."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.http import Request
from twisted.web.iweb import IBodyProducer
from twisted.web.server import Site
from zope.interface import implementer


class QuietSite(Site):
    """A site without an access log: paths here contain whole tokens, and no log may contain one.

    It does not log that it starts or stops either, and its error pages show no traceback.
    """

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Write no line."""


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is written at once. treq's own producer schedules its copying on the global reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body is written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body is written."""

    def stopProducing(self) -> None:
        """Do nothing: the body is written."""

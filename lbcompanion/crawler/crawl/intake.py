"""The intake: receives signed notices by ``POST /notices`` and responds once they are stored durably."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.crawler.fetching.site_addresses import site_of_notice
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.errors import NoticeError, SignatureRefused, TokenError
from lbcompanion.model import Loss, Notice, WallClock
from lbcompanion.protocol.notices import BATCH_LIMIT_BYTES, read_delivery
from lbcompanion.protocol.signatures import SignedRequest, Verifier
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import SiteSettings
from lbcompanion.web import QuietSite, UnparsedRequest

_IDLE_SECONDS = 60


class BoundedRequest(UnparsedRequest):
    """A request with a limit for its body and one for the time in which it arrives; twisted.web has neither.

    Its time begins with its first line. A client that sends byte by byte keeps the connection from being idle.
    """

    limit_bytes = BATCH_LIMIT_BYTES

    def __init__(self, channel: Any, *args: object, **kwargs: object) -> None:
        super().__init__(channel, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.too_large = False
        self._received_bytes = 0
        limits = getattr(getattr(channel, "site", None), "intake_limits", None)
        self._deadline: IDelayedCall | None = limits.start_deadline(self._on_deadline) if limits else None

    def _on_deadline(self) -> None:
        """Refuse the request: it did not arrive in time."""
        self._deadline = None
        if self.channel is not None and self.channel.transport is not None:
            self.channel.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.channel.loseConnection()

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer the request, which has arrived completely."""
        self._stop_deadline()
        super().requestReceived(command, path, version)

    def connectionLost(self, reason: Any) -> None:
        """Forget the request."""
        self._stop_deadline()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def gotLength(self, length: int | None) -> None:
        """Receive the body's length from the head; None for a chunked body."""
        self.too_large = length is not None and length > self.limit_bytes
        super().gotLength(None if self.too_large else length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """Receive a piece of the body."""
        self._received_bytes += len(data)
        self.too_large = self.too_large or self._received_bytes > self.limit_bytes
        if not self.too_large:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


class Intake(Resource):
    """``/notices``.

    :param accept: stores arrivals and losses durably; its Deferred fires with the number of new arrivals.
    :param count_notices: called with ``new``, ``duplicate``, ``refused`` or ``lost``, and a number of notices.
    """

    isLeaf = True

    def __init__(
        self,
        *,
        secret: bytes,
        sites: Mapping[str, SiteSettings],
        accept: Callable[[list[Arrival], list[Loss]], Deferred[int]],
        now: WallClock,
        count_notices: Callable[[str, int], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._verifier = Verifier(secret, {})
        self._tokens = Tokens(secret)
        self._sites = sites
        self._accept = accept
        self._now = now
        self._count_notices = count_notices
        self._log = Logger(namespace="lbcompanion.crawler.intake")

    def render(self, request: Request) -> bytes | int:
        """Respond to one request."""
        if request.method != b"POST":
            request.setHeader(b"allow", b"POST")
            return self._refuse(request, 405, "only POST here")
        if getattr(request, "too_large", False):
            return self._refuse(request, 413, f"more than {BATCH_LIMIT_BYTES} bytes")
        try:
            arrivals, losses = self._read(request)
        except SignatureRefused as refused:
            request.setHeader(b"www-authenticate", b"Signature")
            return self._refuse(request, 401, str(refused))
        except NoticeError as refused:
            return self._refuse(request, refused.status, str(refused))
        except TokenError:
            return self._refuse(request, 400, "a token that is not this farm's")
        disconnected: list[bool] = []
        request.notifyFinish().addErrback(lambda _failure: disconnected.append(True))
        stored = self._accept(arrivals, losses)
        stored.addCallback(self._accepted, request, len(arrivals), len(losses), disconnected)
        stored.addErrback(self._failed, request, disconnected)
        return NOT_DONE_YET

    def _read(self, request: Request) -> tuple[list[Arrival], list[Loss]]:
        body = request.content.read() if request.content is not None else b""
        host = request.getHeader(b"host") or b""
        fields = [
            (name.lower(), value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values
        ]
        # A proxy before the intake may replace Host. The tokens in the body belong to one farm.
        signed = SignedRequest(
            "POST",
            host.decode("latin-1"),
            request.uri.decode("latin-1"),
            fields,
            body,
            accepts_any_authority=True,
        )
        self._verifier.verify(signed, self._now())
        notices, losses = read_delivery(body)
        for loss in losses:
            self._tokens.owner_of(loss.token)
        return [self._arrival(notice) for notice in _without_duplicates(notices)], losses

    def _arrival(self, notice: Notice) -> Arrival:
        owner = self._tokens.owner_of(notice.token)
        return Arrival(notice, owner, site_of_notice(notice, owner, self._sites))

    def _accepted(self, new: int, request: Request, count: int, lost: int, disconnected: list[bool]) -> None:
        self._count_notices("new", new)
        self._count_notices("duplicate", count - new)
        if lost:
            self._count_notices("lost", lost)
        if not disconnected:
            request.setResponseCode(202)
            # No body, so no type: twisted.web would call it text/html.
            request.responseHeaders.removeHeader(b"content-type")
            request.defaultContentType = None
            request.setHeader(b"content-length", b"0")
            request.finish()

    def _failed(self, failure: object, request: Request, disconnected: list[bool]) -> None:
        self._log.error("notices could not be kept: {why}", why=str(getattr(failure, "value", failure)))
        if not disconnected:
            request.setHeader(b"retry-after", b"5")
            request.write(self._refuse(request, 503, "the backlog cannot be written now"))
            request.finish()

    def _refuse(self, request: Request, status: int, why: str) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        if status < 500:
            self._count_notices("refused", 1)
            self._log.warn("notices refused: {status}: {why}", status=status, why=why)
        return f"{why}\n".encode("utf-8", "replace")


def _without_duplicates(notices: Iterable[Notice]) -> list[Notice]:
    return list({notice.token: notice for notice in notices}.values())


class _Root(Resource):
    def __init__(self, intake: Intake) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"notices", intake)


@frozen
class IntakeLimits:
    """The limits of the intake.

    :ivar connections: how many are served at a time.
    :ivar seconds: how long a request may take from its first line to its end.
    :ivar count: called with ``refused`` or ``timeout``.
    """

    reactor: Any
    connections: int = 256
    seconds: float = 30.0
    count: Callable[[str], None] = lambda _what: None

    def start_deadline(self, expire: Callable[[], None]) -> IDelayedCall:
        """Start the time of one request."""

        def expired() -> None:
            self.count("timeout")
            expire()

        started: IDelayedCall = self.reactor.callLater(self.seconds, expired)
        return started


class _IntakeSite(QuietSite):
    """The intake's factory: it refuses connections above the limit by closing them."""

    def __init__(self, resource: Resource, limits: IntakeLimits) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource, requestFactory=BoundedRequest, timeout=_IDLE_SECONDS, reactor=limits.reactor
        )
        self.intake_limits = limits
        self._open = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Serve a connection; None closes it."""
        if self._open >= self.intake_limits.connections:
            self.intake_limits.count("refused")
            return None
        self._open += 1
        channel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        lost = channel.connectionLost

        def connection_lost(reason: Any) -> None:
            self._open -= 1
            lost(reason)

        channel.connectionLost = connection_lost
        return channel


def intake_site(intake: Intake, limits: IntakeLimits) -> Site:
    """Return the intake as a factory to listen with."""
    return _IntakeSite(_Root(intake), limits)

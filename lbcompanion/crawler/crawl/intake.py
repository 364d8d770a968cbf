"""The intake: receives signed notices by ``POST /notices`` and responds once they are stored durably."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.crawler.crawl.requisites import origin_of
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.errors import NoticeError, SignatureRefused, TokenError
from lbcompanion.model import Loss, Notice, WallClock
from lbcompanion.protocol.notices import BATCH_LIMIT_BYTES, read_delivery
from lbcompanion.protocol.signatures import SignedRequest, Verifier
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import SiteSettings
from lbcompanion.web import QuietSite

_IDLE_SECONDS = 60


class BoundedRequest(Request):
    """A request that stops storing its body at a limit; twisted.web has no limit of its own."""

    limit_bytes = BATCH_LIMIT_BYTES

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.too_large = False
        self._received_bytes = 0

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


def site_name_for(notice: Notice, sites: Mapping[str, SiteSettings]) -> str:
    """Return the name of the configured site that a notice belongs to, by the copy's URL or else the browser's.

    The URL only selects a configured site; it is never fetched.

    :returns: the matching site, or the only site if there is just one; empty if no site matches.
    """
    for url in (notice.page_url, notice.url):
        for name, site in sites.items():
            if url and origin_of(url) == origin_of(site.origin):
                return name
    return next(iter(sites)) if len(sites) == 1 else ""


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
        signed = SignedRequest("POST", host.decode("latin-1"), request.uri.decode("latin-1"), fields, body)
        self._verifier.verify(signed, self._now())
        notices, losses = read_delivery(body)
        for loss in losses:
            self._tokens.owner_of(loss.token)
        arrivals = [
            Arrival(notice, self._tokens.owner_of(notice.token), site_name_for(notice, self._sites))
            for notice in _without_duplicates(notices)
        ]
        return arrivals, losses

    def _accepted(self, new: int, request: Request, count: int, lost: int, disconnected: list[bool]) -> None:
        self._count_notices("new", new)
        self._count_notices("duplicate", count - new)
        if lost:
            self._count_notices("lost", lost)
        if not disconnected:
            request.setResponseCode(202)
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


def intake_site(intake: Intake, reactor: object) -> Site:
    """Return the intake as a factory to listen with."""
    return QuietSite(  # type: ignore[no-untyped-call]
        _Root(intake), requestFactory=BoundedRequest, timeout=_IDLE_SECONDS, reactor=reactor
    )

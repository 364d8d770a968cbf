"""Server-sent events of recordings that got an outcome: ``GET /api/recordings/stream``.

A stream remembers a position in the order of the outcomes, and reads from there when its client takes data. So a slow
client costs no memory, and a client that comes back continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, Stream, json_bytes
from lbcompanion.crawler.admin.endpoint_doc import FILTERS, INTEGER, RECORDING, TEXT, Doc, Parameter, obj, one_of
from lbcompanion.crawler.admin.recordings_api import read_call_filters, read_number
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.outcome_watch import OutcomeWatch
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.queue.filters import OPEN, Filters
from lbcompanion.crawler.queue.outcomes import BadPosition, Extent, Followed, Position
from lbcompanion.errors import CompanionError
from lbcompanion.loops import SteadyLoop
from lbcompanion.settings import OutcomesTable

MEDIA_TYPE = "text/event-stream"
#: The value of ``after`` for all outcomes that are kept.
BEGINNING = "beginning"
#: How many recordings are read at a time: what a stream has in memory.
_BATCH = 50
#: When a browser should connect again.
_RETRY_MS = 3000
#: When a client should come again if there are too many streams.
_RETRY_AFTER_SECONDS = 10

_POSITION_SCHEMA = {"type": "string", "pattern": f"^({BEGINNING}|[0-9a-f]{{8}}-[0-9]{{1,18}})$"}
_DOC = Doc(
    "Recordings as they get their outcome, as server-sent events.",
    (
        Parameter(
            "after", f"The id of the last event that was received, or {BEGINNING}. Last-Event-ID.", _POSITION_SCHEMA
        ),
        Parameter(
            "seconds",
            "When the stream ends; 0: after the outcomes that are there. Without it, it does not end.",
            {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
        ),
        *(each for each in FILTERS if each.name != "outcome"),
        Parameter("outcome", "The outcome.", one_of("archived", "lost")),
    ),
    answer=obj(
        ["event", "data", "retry"],
        event=one_of("recording", "missed"),
        id={"type": "string", "pattern": "^[0-9a-f]{8}-[0-9]{1,18}$"},
        data={
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [RECORDING, obj(continues_after=TEXT, detail=TEXT)]},
        },
        retry=INTEGER,
    ),
    media_type=MEDIA_TYPE,
)


@frozen
class _Wanted:
    """The request of a client.

    :ivar missed: whether outcomes after the client's position are gone.
    """

    filters: Filters
    position: Position
    missed: bool = False
    seconds: int | None = None


class StreamApi:
    """Serves the streams.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(
        self,
        watch: OutcomeWatch,
        settings: OutcomesTable,
        *,
        defer: Defer,
        reactor: IReactorTime,
        metrics: CrawlerMetrics,
    ) -> None:
        self._watch = watch
        self._settings = settings
        self._defer = defer
        self._reactor = reactor
        self._metrics = metrics
        self._streams: set[_EventStream] = set()
        metrics.watch_streams(lambda: len(self._streams))

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [Endpoint("/api/recordings/stream", self._stream, doc=_DOC)]

    def stop(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.end("stopped")

    async def _stream(self, call: Call) -> Response | Stream:
        if call.request.method == b"HEAD":
            return Response(b"", MEDIA_TYPE)
        wanted = await self._wanted(call)
        if len(self._streams) >= self._settings.streams:
            self._metrics.count_stream_end("refused")
            why = f"there are {self._settings.streams} streams already ([outcomes] streams)"
            raise HttpError(503, why, (("retry-after", str(_RETRY_AFTER_SECONDS)),))
        # A proxy that gathers the answer would delay the events.
        return Stream(partial(self._start, call, wanted), MEDIA_TYPE, (("x-accel-buffering", "no"),))

    async def _wanted(self, call: Call) -> _Wanted:
        _texts, filters = read_call_filters(call)
        if filters.outcome == OPEN:
            raise HttpError(400, "outcome: archived and lost are allowed, because a stream has outcomes only")
        seconds = read_number(call, "seconds")
        given = call.request.getHeader("last-event-id") or call.argument("after")
        after = None
        if given and given != BEGINNING:
            try:
                after = Position.read(given)
            except BadPosition as failure:
                raise HttpError(400, f"after or Last-Event-ID: {failure}, or {BEGINNING}") from None
        extent = await self._watch.whole_extent()
        if after is not None:
            missed = not extent.has(after)
            return _Wanted(filters, extent.beginning if missed else after, missed, seconds)
        position = extent.beginning if given else extent.end
        return _Wanted(filters, position, seconds=seconds)

    def _start(self, call: Call, wanted: _Wanted, request: Request) -> Callable[[], None]:
        stream = _EventStream(self, call, wanted, request)
        self._streams.add(stream)
        stream.start()
        return partial(stream.end, "client")


@implementer(IPushProducer)
class _EventStream:
    """One stream."""

    def __init__(self, api: StreamApi, call: Call, wanted: _Wanted, request: Request) -> None:
        self._api = api
        self._call = call
        self._wanted = wanted
        self._request = request
        self._position = wanted.position
        self._end: Position | None = None
        self._last: Position | None = None
        self._is_reading = self._is_paused = self._has_ended = self._is_last = False
        self._stalled: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._beats = SteadyLoop(
            self._beat, name="streams", clock=api._reactor, count_error=api._metrics.count_background_error
        )
        self._log = Logger(namespace="lbcompanion.crawler.admin.stream")

    def start(self) -> None:
        """Write the first lines, and follow the outcomes."""
        request, seconds = self._request, self._wanted.seconds
        request.write(b"retry: %d\n" % _RETRY_MS)
        if self._wanted.missed:
            self._write_missed(self._position)
        else:
            request.write(b"id: %s\n\n" % str(self._position).encode())
        request.registerProducer(self, True)
        self._is_last = seconds == 0
        if seconds:
            self._timer = self._api._reactor.callLater(min(seconds, 10**9), self._finish_soon)
        self._beats.start(self._api._settings.heartbeat_seconds, now=False)
        self._api._watch.follow(self)
        self._read()

    def look(self, extent: Extent) -> None:
        """Read outcomes, unless all up to the end of the extent are read."""
        self._end = extent.end
        self._read()

    def pauseProducing(self) -> None:
        """Read nothing more: the client does not take it. After a while the stream is cut."""
        self._is_paused = True
        if self._stalled is None and not self._has_ended:
            self._stalled = self._api._reactor.callLater(self._api._settings.stalled_seconds, self._cut, "slow")

    def resumeProducing(self) -> None:
        """Go on."""
        self._is_paused = False
        if self._stalled is not None and self._stalled.active():
            self._stalled.cancel()
        self._stalled = None
        self._read()

    def stopProducing(self) -> None:
        """End: the connection is lost."""
        self.end("client")

    def end(self, why: str) -> None:
        """Follow no more, and close the connection unless the client did."""
        if self._has_ended:
            return
        self._has_ended = True
        self._api._streams.discard(self)
        self._api._watch.leave(self)
        self._api._metrics.count_stream_end(why)
        self._beats.stop()
        for timer in (self._stalled, self._timer):
            if timer is not None and timer.active():
                timer.cancel()
        if why in ("client", "finished"):
            return
        abort = getattr(self._request.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def _cut(self, why: str) -> None:
        self._stalled = None
        self.end(why)

    def _finish_soon(self) -> None:
        self._is_last = True
        self._read()

    def _read(self) -> None:
        if self._has_ended or self._is_reading or self._is_paused:
            return
        if self._end == self._position and not self._is_last:
            return
        self._is_reading = True
        reading = Deferred.fromCoroutine(self._next())
        reading.addCallback(self._on_read).addErrback(self._on_failed)

    async def _next(self) -> Followed:
        outcomes = self._api._watch.outcomes
        if self._is_last and self._last is None:
            self._last = (await self._api._watch.whole_extent()).end
        return await self._api._defer(outcomes.read, self._position, self._wanted.filters, _BATCH)

    def _on_read(self, found: Followed) -> None:
        self._is_reading = False
        if self._has_ended:
            return
        has_moved, self._position = found.position != self._position, found.position
        if found.missed:
            self._write_missed(found.position)
        for number, row in found.rows:
            position = Position(found.position.queue, number)
            self._write("recording", position, json_views.recording(row))
        self._api._metrics.count_stream_events(len(found.rows))
        if self._last is not None and self._position.number >= self._last.number:
            self._finish()
        elif has_moved or self._is_last:
            self._read()

    def _on_failed(self, failure: Any) -> None:
        self._is_reading = False
        if not failure.check(BacklogError, CompanionError):
            self._log.failure("a defect", failure=failure)
        # The client comes back, and gets an error or goes on.
        self.end("failed")

    def _finish(self) -> None:
        self.end("finished")
        self._request.unregisterProducer()
        self._request.finish()

    def _beat(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._check_and_beat()).addErrback(self._on_failed)

    async def _check_and_beat(self) -> None:
        try:
            await self._call.recheck()
        except HttpError:
            self.end("not allowed")
            return
        if not self._has_ended and not self._is_paused:
            # An id without data moves on the position that the client remembers, and is no event.
            self._request.write(b": heartbeat\nid: %s\n\n" % str(self._position).encode())

    def _write_missed(self, position: Position) -> None:
        why = "outcomes after the given id are not kept any more, or it is of another queue; list the recordings"
        self._write("missed", position, {"continues_after": str(position), "detail": why})

    def _write(self, kind: str, position: Position, data: dict[str, Any]) -> None:
        text = json_bytes(data).rstrip(b"\n")
        self._request.write(b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), str(position).encode(), text))

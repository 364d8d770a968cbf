"""The JSON API of the counts over time: ``GET /api/activity``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define, frozen

from lbcompanion.crawler.activity import ARCHIVED, DELAY_LIMITS, LOST, SEEN, Bucket, Counts
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import Doc, Parameter, one_of
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.activity_table import HOUR_SECONDS, ActivityTable
from lbcompanion.model import WallClock, to_rfc3339

#: The length of a bucket for each span, both in seconds: about 60 buckets.
STEPS = {3600: 60, 6 * 3600: 360, 24 * 3600: 1800, 7 * 86400: 3 * HOUR_SECONDS, 30 * 86400: 12 * HOUR_SECONDS}
_DEFAULT_HOURS = 24


_ACTIVITY = Doc(
    "Counts over time.",
    (Parameter("hours", "How long ago it begins.", one_of(*(str(span // 3600) for span in STEPS))),),
    {"type": "object"},
)


@define
class Period:
    """The counts of one bucket, or of one node.

    :ivar lost: pages by the reason.
    """

    seen: int = 0
    archived: Counts = Factory(Counts)
    lost: dict[str, int] = Factory(dict)
    attempts: int = 0

    def add(self, bucket: Bucket, counts: Counts) -> None:
        """Add a bucket of one outcome."""
        self.attempts += counts.attempts
        if bucket.outcome == SEEN:
            self.seen += counts.pages
        elif bucket.outcome == ARCHIVED:
            self.archived.add(counts)
        elif bucket.outcome == LOST:
            self.lost[bucket.reason] = self.lost.get(bucket.reason, 0) + counts.pages

    @property
    def lost_pages(self) -> int:
        """All lost pages."""
        return sum(self.lost.values())

    @property
    def mean_delay(self) -> float | None:
        """Seconds from a view to the archive; None if nothing was archived."""
        return self.archived.delay / self.archived.pages if self.archived.pages else None

    def as_json(self) -> dict[str, Any]:
        """Return the values for the API."""
        delay = self.mean_delay
        within = {str(limit): count for limit, count in zip(DELAY_LIMITS, self.archived.within, strict=True)}
        return {
            "seen": self.seen,
            "archived": self.archived.pages,
            "lost": self.lost,
            "attempts": self.attempts,
            "bytes": self.archived.bytes,
            "delay_seconds": None if delay is None else round(delay, 3),
            "archived_within": within,
        }


@frozen
class Timeline:
    """The counts within a span.

    :ivar since: where it begins, in seconds since the epoch.
    :ivar step: the length of a period in seconds.
    :ivar periods: by their beginning; periods in which nothing happened too.
    :ivar nodes: the whole span, by node.
    """

    since: int
    until: int
    step: int
    periods: Mapping[int, Period]
    nodes: Mapping[str, Period]
    total: Period


def timeline(counts: Mapping[Bucket, Counts], since: int, until: int, step: int) -> Timeline:
    """Arrange counts by time and by node."""
    periods = {at: Period() for at in range(since, until, step)}
    nodes: dict[str, Period] = {}
    total = Period()
    for bucket, each in counts.items():
        for period in (periods.setdefault(bucket.at, Period()), nodes.setdefault(bucket.node, Period()), total):
            period.add(bucket, each)
    return Timeline(since, until, step, dict(sorted(periods.items())), dict(sorted(nodes.items())), total)


class ActivityApi:
    """Reads the counts over time.

    :param defer: runs calls on the thread of the database.
    :param now: seconds since the epoch.
    """

    def __init__(self, table: ActivityTable, defer: Defer, now: WallClock) -> None:
        self._table = table
        self._defer = defer
        self._now = now

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoint."""
        return [Endpoint("/api/activity", self._activity, doc=_ACTIVITY)]

    async def read(self, span: int) -> Timeline:
        """Return the last seconds.

        :param span: how many; one of :data:`STEPS`.
        """
        step = STEPS[span]
        until = (int(self._now()) // step + 1) * step
        counts = await self._defer(self._table.read, until - span, until, step)
        return timeline(counts, until - span, until, step)

    async def _activity(self, call: Call) -> Response:
        span = read_span(call)
        found = await self.read(span)
        return json_response(
            {
                "from": to_rfc3339(found.since),
                "to": to_rfc3339(found.until),
                "step_seconds": found.step,
                "periods": [{"at": to_rfc3339(at), **each.as_json()} for at, each in found.periods.items()],
                "nodes": {name: each.as_json() for name, each in found.nodes.items()},
                "total": found.total.as_json(),
            }
        )


def read_span(call: Call) -> int:
    """Read ``hours``, and return the span in seconds.

    :raises HttpError: 400 if it is not one of those that are offered.
    """
    text = call.argument("hours") or str(_DEFAULT_HOURS)
    allowed = {str(span // 3600): span for span in STEPS}
    if text not in allowed:
        raise HttpError(400, f"hours: one of {', '.join(allowed)} is allowed")
    return allowed[text]

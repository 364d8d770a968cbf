"""The endpoints for monitoring: ``/healthz``, ``/metrics`` and ``/api/stats``."""

from __future__ import annotations

from typing import Any

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import Doc
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError

_STATS = Doc(
    "How many recordings have each outcome, in all, and the counters of this crawler since its start.",
    answer={"type": "object", "required": ["recordings", "archived", "lost", "open", "in_all", "since_start"]},
)


class Monitoring:
    """Health and numbers.

    :param defer: runs calls on the thread of the database.
    :param health: the crawler's current problems.
    :param is_open: whether ``/metrics`` needs no log-in, as ``/healthz``.
    """

    def __init__(
        self, *, backlog: Backlog, metrics: CrawlerMetrics, health: Health, defer: Defer, is_open: bool = False
    ) -> None:
        self._backlog = backlog
        self._metrics = metrics
        self._health = health
        self._defer = defer
        self._is_open = is_open

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/healthz", self._health_text, role=Role.ANYBODY),
            Endpoint("/metrics", self._metrics_text, role=Role.ANYBODY if self._is_open else Role.VIEWER),
            Endpoint("/api/stats", self._stats, doc=_STATS),
        ]

    async def numbers(self) -> dict[str, Any]:
        """Return how many recordings have each outcome, and the counters since the start."""
        return {**await self._in_all(), **self._metrics.totals()}

    async def _in_all(self) -> dict[str, int]:
        counts: dict[str, int] = await self._defer(self._backlog.counts)
        return {"recordings": sum(counts.values()), **counts}

    async def _stats(self, _call: Call) -> Response:
        in_all, since_start = await self._in_all(), self._metrics.totals()
        # All of them beside each other too, as in earlier versions.
        return json_response({**in_all, **since_start, "in_all": in_all, "since_start": since_start})

    async def _health_text(self, _call: Call) -> Response:
        try:
            await self._defer(self._backlog.check)
        except BacklogError as failure:
            problems = self._health.lines() or [str(failure)]
        else:
            problems = self._health.lines()
        text = "".join(f"{each}\n" for each in problems or ["ok"])
        return Response(text.encode("utf-8", "replace"), "text/plain; charset=utf-8", status=503 if problems else 200)

    async def _metrics_text(self, _call: Call) -> Response:
        counts = await self._defer(self._backlog.counts)
        return Response(self._metrics.exposition(counts["open"]), "text/plain; version=0.0.4; charset=utf-8")

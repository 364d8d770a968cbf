"""What the crawler counts, for ``/metrics`` and ``/api/stats``; a registry of its own for each service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lbcompanion.model import Attempt, MissReason

_NAMESPACE = "lbc_crawler"


class Meters:
    """The counters of one crawler since its start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._notices = Counter(
            "notices",
            "Notices that came in, by what became of them",
            ["result"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "outcomes", "Notices that ended", ["outcome"], namespace=_NAMESPACE, registry=self.registry
        )
        self._attempts = Counter(
            "attempts", "Requests for a page", ["route", "result"], namespace=_NAMESPACE, registry=self.registry
        )
        self._seconds = Histogram(
            "fetch_seconds",
            "How long a request for a page took",
            ["route"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._bytes = Counter("archived_bytes", "Bytes of pages archived", namespace=_NAMESPACE, registry=self.registry)
        self._assets = Counter("requisites", "Files of pages archived", namespace=_NAMESPACE, registry=self.registry)
        self._confirms = Counter(
            "confirmations", "Copies confirmed to their nodes", ["result"], namespace=_NAMESPACE, registry=self.registry
        )
        self._open = Gauge("notices_open", "Notices under way", namespace=_NAMESPACE, registry=self.registry)
        self._running = Gauge(
            "fetches_running", "Notices being fetched at this moment", namespace=_NAMESPACE, registry=self.registry
        )
        self._totals: dict[str, int] = {}

    def _count(self, name: str, more: int = 1) -> None:
        self._totals[name] = self._totals.get(name, 0) + more

    def took(self, result: str, count: int = 1) -> None:
        """Notices came in: ``new``, ``duplicate`` or ``refused``."""
        self._notices.labels(result).inc(count)
        self._count(f"notices_{result}", count)

    def tried(self, attempt: Attempt) -> None:
        """One attempt was made."""
        self._attempts.labels(attempt.route.value, attempt.result).inc()
        self._seconds.labels(attempt.route.value).observe(attempt.ms / 1000)
        self._count("attempts")
        if attempt.result == MissReason.MISROUTED.value:
            self._count("misrouted_attempts")

    def archived(self, size: int, assets: int) -> None:
        """One page is safe."""
        self._outcomes.labels("archived").inc()
        self._bytes.inc(size)
        self._assets.inc(assets)
        self._count("archived_bytes", size)
        self._count("requisites", assets)

    def lost(self) -> None:
        """One page is lost."""
        self._outcomes.labels("lost").inc()

    def confirmed(self, *, done: bool) -> None:
        """A confirmation was sent, and answered or not."""
        self._confirms.labels("done" if done else "failed").inc()
        self._count("confirmations_done" if done else "confirmations_failed")

    def running(self, count: int) -> None:
        """So many notices are being fetched."""
        self._running.set(count)
        self._totals["fetches_running"] = count

    def totals(self) -> dict[str, int]:
        """The plain numbers since the start, for the JSON answer."""
        base = dict.fromkeys(
            ("notices_new", "notices_duplicate", "attempts", "misrouted_attempts", "archived_bytes"), 0
        )
        return {**base, **self._totals}

    def exposition(self, still_open: int) -> bytes:
        """The text for Prometheus."""
        self._open.set(still_open)
        return generate_latest(self.registry)

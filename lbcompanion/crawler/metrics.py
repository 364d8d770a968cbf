"""The crawler's metrics, for ``/metrics`` and ``/api/stats``; each service has its own registry."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lbcompanion.model import Attempt, MissingKind, MissReason
from lbcompanion.sticky.routes import Route, RouteState

_NAMESPACE = "lbcompanion_crawler"


class Prober(Protocol):
    """The counters of a :class:`lbcompanion.crawler.routes.minting.Minter`."""

    @property
    def probes(self) -> int:
        """Requests sent."""
        ...

    @property
    def proven(self) -> int:
        """Routes proven."""
        ...


class FileCache(Protocol):
    """A cache of files, as :class:`lbcompanion.crawler.crawl.requisite_cache.RequisiteCache`."""

    @property
    def evicted(self) -> int:
        """Entries dropped because it was full."""
        ...

    @property
    def total_bytes(self) -> int:
        """Bytes it holds."""
        ...

    def __len__(self) -> int:
        """Return the number of entries."""
        ...


class CrawlerMetrics:
    """The counters of one crawler since its start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._notices = Counter(
            "notices",
            "Notices received, by result",
            ["result"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._intake_refused = Counter(
            "intake_connections_refused",
            "Connections to the intake above the limit",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._intake_timeouts = Counter(
            "intake_timeouts",
            "Requests to the intake that did not arrive in time",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._log_ins = Counter(
            "log_ins",
            "Log-ins at the admin listener, by result",
            ["result"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._access_refused = Counter(
            "access_refused",
            "Requests that the admin listener refused: unknown caller, or role not sufficient",
            ["reason"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._background_errors = Counter(
            "background_errors",
            "Defects in work that no request waits for, by its kind; the work goes on",
            ["what"],
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
        self._requisites = Counter(
            "requisites", "Files of pages archived", namespace=_NAMESPACE, registry=self.registry
        )
        self._missing_requisites = Counter(
            "requisites_missing",
            "Files that archived pages refer to and that are not archived, by reason",
            ["reason"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        for kind in MissingKind:
            self._missing_requisites.labels(kind.value)
        self._requisite_requests = Counter(
            "requisite_requests", "Requests for files of pages", namespace=_NAMESPACE, registry=self.registry
        )
        self._requisite_sources = Counter(
            "requisites_found",
            "Files of pages by where they came from: cache, joined request, validated entry or node",
            ["source"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._cache_bytes = Gauge(
            "requisite_cache_bytes", "Bytes that the cache of files holds", namespace=_NAMESPACE, registry=self.registry
        )
        self._cache_files = Gauge(
            "requisite_cache_files", "Entries in the cache of files", namespace=_NAMESPACE, registry=self.registry
        )
        self._cache_evicted = Gauge(
            "requisite_cache_evicted",
            "Entries dropped since the start because the cache of files was full",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._commits = Counter(
            "commits", "Times that pages were synced and committed", namespace=_NAMESPACE, registry=self.registry
        )
        self._confirmations = Counter(
            "confirmations", "Copies confirmed to their nodes", ["result"], namespace=_NAMESPACE, registry=self.registry
        )
        self._streams = Gauge(
            "streams", "Streams of outcomes that are open", namespace=_NAMESPACE, registry=self.registry
        )
        self._stream_ends = Counter(
            "streams_ended",
            "Streams of outcomes that ended or were refused, by reason",
            ["reason"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._stream_events = Counter(
            "stream_events", "Recordings sent on streams of outcomes", namespace=_NAMESPACE, registry=self.registry
        )
        self._viewings = Gauge(
            "viewings", "Viewings of pages with their scripts", namespace=_NAMESPACE, registry=self.registry
        )
        self._viewings_dropped = Counter(
            "viewings_dropped",
            "Viewings of pages with their scripts that ended because there were too many",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._webhook_requests = Counter(
            "webhook_requests",
            "Requests to webhooks, by result: accepted or failed",
            ["webhook", "result"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._webhook_outcomes = Counter(
            "webhook_outcomes",
            "Recordings that webhooks have accepted",
            ["webhook"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._webhook_waiting = Gauge(
            "webhook_outcomes_waiting",
            "Outcomes that a webhook has not got yet, as far as this crawler knows; before its filters",
            ["webhook"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._erased = Counter(
            "erased_recordings", "Recordings erased, by reason", ["by"], namespace=_NAMESPACE, registry=self.registry
        )
        self._refused_erased = Counter(
            "notices_of_erased",
            "Notices that were left out because their recording was erased",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._open = Gauge("notices_open", "Notices under way", namespace=_NAMESPACE, registry=self.registry)
        self._running = Gauge(
            "fetches_running", "Notices being fetched at this moment", namespace=_NAMESPACE, registry=self.registry
        )
        self._probes = Gauge(
            "probes",
            "Requests of whoami through the balancers since the start, to learn and to prove routes",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._routes = Gauge(
            "routes",
            "The crawler's own routes, by their state",
            ["state"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._node_waits = Counter(
            "node_waits",
            "Polls of the queue in which per_node held notices back",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._claims_lost = Counter(
            "claims_lost",
            "Claims at a shared queue that ended before the work did",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._waiting_files = Gauge(
            "archive_files_waiting",
            "Closed archive files that are not yet in the object store",
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._waiting_bytes = Gauge(
            "archive_bytes_waiting", "Bytes of these files", namespace=_NAMESPACE, registry=self.registry
        )
        self._uploads = Counter(
            "archive_uploads",
            "Archive files brought to the object store, and failed tries",
            ["result"],
            namespace=_NAMESPACE,
            registry=self.registry,
        )
        self._uploaded_bytes = Counter(
            "archive_uploaded_bytes", "Bytes sent to the object store", namespace=_NAMESPACE, registry=self.registry
        )
        self._totals: dict[str, int] = {}
        self._route_values: Callable[[], dict[str, int]] = dict

    def watch(self, routes: Iterable[Route], minters: Callable[[], Iterable[Prober]]) -> None:
        """Export the number of routes by state and the number of probes."""

        def route_values() -> dict[str, int]:
            probers = list(minters())
            states = Counted(route.state for route in routes)
            return {
                "probes": sum(each.probes for each in probers),
                "routes_learnt": sum(each.proven for each in probers),
                **{f"routes_{state.value}": states[state] for state in RouteState},
            }

        self._route_values = route_values
        self._probes.set_function(lambda: route_values()["probes"])
        for state in RouteState:
            self._routes.labels(state.value).set_function(
                partial(lambda name: route_values()[name], f"routes_{state.value}")
            )

    def _add(self, name: str, amount: int = 1) -> None:
        self._totals[name] = self._totals.get(name, 0) + amount

    def count_notices(self, result: str, count: int = 1) -> None:
        """Count notices that came in as ``new``, ``duplicate``, ``refused`` or ``lost``."""
        self._notices.labels(result).inc(count)
        self._add(f"notices_{result}", count)

    def count_log_in(self, result: str) -> None:
        """Count a log-in: accepted, failed, or slowed."""
        self._log_ins.labels(result).inc()

    def count_access_refused(self, reason: str) -> None:
        """Count a refused request: for its role, its token, or the header of no trusted proxy."""
        self._access_refused.labels(reason).inc()

    def count_intake_limit(self, what: str) -> None:
        """Count a connection that was ``refused``, or a request that ran into its ``timeout``."""
        (self._intake_refused if what == "refused" else self._intake_timeouts).inc()

    def count_background_error(self, what: str, _error: BaseException) -> None:
        """Count a defect in work that no request waits for."""
        self._background_errors.labels(what).inc()

    def count_attempt(self, attempt: Attempt) -> None:
        """Count one request for a page and its duration."""
        self._attempts.labels(attempt.route.value, attempt.result).inc()
        self._seconds.labels(attempt.route.value).observe(attempt.ms / 1000)
        self._add("attempts")
        if attempt.result == MissReason.MISROUTED.value:
            self._add("misrouted_attempts")

    def count_archived(self, size: int, requisites: int, missing: Sequence[MissingKind]) -> None:
        """Count one archived page, its archived requisites and its missing ones.

        :param missing: the kind of the reason for each of these.
        """
        self._outcomes.labels("archived").inc()
        self._bytes.inc(size)
        self._requisites.inc(requisites)
        self._add("archived_bytes", size)
        for kind, count in Counted(missing).items():
            self._missing_requisites.labels(kind.value).inc(count)
        self._add("requisites", requisites)
        self._add("requisites_missing", len(missing))

    def count_requisite_request(self) -> None:
        """Count a request for a file of a page."""
        self._requisite_requests.inc()
        self._add("requisite_requests")

    def count_requisite_source(self, source: str) -> None:
        """Count a file that came from the ``cache``, a ``joined`` request, a ``validated`` entry or a ``node``."""
        self._requisite_sources.labels(source).inc()

    def watch_requisites(self, cache: FileCache) -> None:
        """Export the size of the cache of files."""
        self._cache_bytes.set_function(lambda: cache.total_bytes)
        self._cache_files.set_function(lambda: len(cache))
        self._cache_evicted.set_function(lambda: cache.evicted)

    def watch_streams(self, count: Callable[[], int]) -> None:
        """Export the number of open streams."""
        self._streams.set_function(count)

    def count_stream_end(self, reason: str) -> None:
        """Count a stream that ended, or that was ``refused`` because there are too many."""
        self._stream_ends.labels(reason).inc()

    def count_stream_events(self, count: int) -> None:
        """Count recordings that were sent on a stream."""
        self._stream_events.inc(count)

    def watch_viewings(self, count: Callable[[], int]) -> None:
        """Export the number of viewings of pages with their scripts."""
        self._viewings.set_function(count)

    def count_dropped_viewing(self) -> None:
        """Count a viewing that ended because there were too many."""
        self._viewings_dropped.inc()

    def count_webhook(self, webhook: str, recordings: int | None) -> None:
        """Count a request to a webhook.

        :param recordings: how many it accepted; None: the request failed.
        """
        self._webhook_requests.labels(webhook, "failed" if recordings is None else "accepted").inc()
        self._webhook_outcomes.labels(webhook).inc(recordings or 0)

    def set_webhook_waiting(self, webhook: str, count: int) -> None:
        """Set how many outcomes a webhook has not got yet."""
        self._webhook_waiting.labels(webhook).set(count)

    def count_erased(self, by: str, recordings: int) -> None:
        """Count erased recordings; ``by`` is ``command``, ``api``, ``keep_days`` or ``keep_bytes``."""
        self._erased.labels(by).inc(recordings)
        self._add("recordings_erased", recordings)

    def count_refused_erased(self, count: int) -> None:
        """Count notices of erased recordings that were delivered again."""
        self._refused_erased.inc(count)

    def count_lost(self) -> None:
        """Count one lost page."""
        self._outcomes.labels("lost").inc()

    def count_commit(self) -> None:
        """Count one sync of the archive with one transaction, for one or more pages."""
        self._commits.inc()

    def count_confirmation(self, *, done: bool) -> None:
        """Count one confirmation; ``done`` says whether the node accepted it."""
        self._confirmations.labels("done" if done else "failed").inc()
        self._add("confirmations_done" if done else "confirmations_failed")

    def count_node_wait(self) -> None:
        """Count that notices had to wait because their node had ``per_node`` of them."""
        self._node_waits.inc()

    def count_claims_lost(self, count: int) -> None:
        """Count claims of running jobs that other crawlers may have now."""
        self._claims_lost.inc(count)

    def count_upload(self, *, done: bool, size: int = 0) -> None:
        """Count a try to bring an archive file to the object store, and the bytes that were sent."""
        self._uploads.labels("done" if done else "failed").inc()
        self._uploaded_bytes.inc(size)

    def set_waiting_files(self, count: int, size: int) -> None:
        """Set how many closed archive files wait for the object store, and their size in bytes."""
        self._waiting_files.set(count)
        self._waiting_bytes.set(size)

    def set_running(self, count: int) -> None:
        """Set the number of notices being fetched now."""
        self._running.set(count)
        self._totals["fetches_running"] = count

    def totals(self) -> dict[str, int]:
        """Return the totals since the start, for the JSON response."""
        base = dict.fromkeys(
            ("notices_new", "notices_duplicate", "attempts", "misrouted_attempts", "archived_bytes"), 0
        )
        return {**base, **self._totals, **self._route_values()}

    def exposition(self, open_notices: int) -> bytes:
        """Return the metrics in the Prometheus text format."""
        self._open.set(open_notices)
        return generate_latest(self.registry)

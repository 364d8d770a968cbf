"""The crawler's metrics."""

from __future__ import annotations

from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.model import Attempt, MissingKind, RouteKind


def test_the_totals_and_the_exposition_say_the_same() -> None:
    metrics = CrawlerMetrics()
    metrics.count_notices("new", 2)
    metrics.count_attempt(Attempt(RouteKind.OWN, "n1", "misrouted", 5.0))
    metrics.count_attempt(Attempt(RouteKind.OWN, "n2", "archived", 5.0))
    metrics.count_archived(100, 3, [MissingKind.LIMIT])
    totals = metrics.totals()
    assert (totals["notices_new"], totals["notices_duplicate"]) == (2, 0)
    assert (totals["attempts"], totals["misrouted_attempts"], totals["archived_bytes"]) == (2, 1, 100)
    text = metrics.exposition(7).decode()
    for line in (
        'lbcompanion_crawler_notices_total{result="new"} 2.0',
        'lbcompanion_crawler_attempts_total{result="misrouted",route="own"} 1.0',
        "lbcompanion_crawler_archived_bytes_total 100.0",
        'lbcompanion_crawler_requisites_missing_total{reason="limit"} 1.0',
        'lbcompanion_crawler_requisites_missing_total{reason="excluded"} 0.0',
        "lbcompanion_crawler_notices_open 7.0",
    ):
        assert line in text.splitlines()


def test_two_crawlers_of_one_process_count_apart() -> None:
    one, other = CrawlerMetrics(), CrawlerMetrics()
    one.count_lost()
    assert b'outcomes_total{outcome="lost"} 1.0' in one.exposition(0)
    assert b'outcomes_total{outcome="lost"} 1.0' not in other.exposition(0)

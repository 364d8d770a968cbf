from __future__ import annotations

from lbcompanion.crawler.crawl.rate_limit import TOO_MANY_REQUESTS, RateLimits


def test_a_pause_after_429_is_longer_each_time() -> None:
    limits, now, pauses = RateLimits(), 100.0, []
    for _ in range(6):
        limits.record("main", TOO_MANY_REQUESTS, now)
        pauses.append(limits.pause_of("main", now))
        now += pauses[-1]
        assert limits.pause_of("main", now) == 0.0
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert limits.pause_of("other", now) == 0.0


def test_answers_to_requests_from_before_the_pause_do_not_count() -> None:
    limits = RateLimits()
    for _ in range(5):
        limits.record("main", TOO_MANY_REQUESTS, 100.0)
    limits.record("main", "fetched", 101.0)
    assert limits.pause_of("main", 101.0) == 1.0
    limits.record("main", TOO_MANY_REQUESTS, 102.5)
    assert limits.pause_of("main", 102.5) == 4.0


def test_another_result_ends_it() -> None:
    limits = RateLimits()
    limits.record("main", TOO_MANY_REQUESTS, 100.0)
    limits.record("main", "fetched", 103.0)
    limits.record("main", TOO_MANY_REQUESTS, 104.0)
    assert limits.pause_of("main", 104.0) == 2.0


def test_a_clock_that_was_set_back_does_not_stop_the_site() -> None:
    limits = RateLimits()
    limits.record("main", TOO_MANY_REQUESTS, 1000.0)
    assert limits.pause_of("main", 100.0) == 0.0

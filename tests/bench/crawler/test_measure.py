"""The verdicts of the benchmark, from given figures."""

from __future__ import annotations

from bench.crawler.application import PAGE_BYTES, page_without
from bench.crawler.measure import OURS, SCRAPY, SCRAPY_WARC, verdicts


def figures(cpu: tuple[float, ...], syncs: float = 0.1, connections: float = 0.01) -> dict[str, object]:
    return {
        "cpu_us": {"rounds": list(cpu)},
        "syncs": {"median": syncs},
        "connections": {"median": connections},
    }


def test_ratios_are_the_rounds_own() -> None:
    found = verdicts({OURS: figures((10, 60, 20)), SCRAPY: figures((10, 50, 10)), SCRAPY_WARC: figures((10, 60, 30))})
    assert [one.found for one in found] == ["1.20 x", "1.00 x", "0.100", "0.010"]
    assert all(one.holds for one in found)


def test_what_is_missed_is_reported() -> None:
    found = verdicts({OURS: figures((16,), 0.21, 0.11), SCRAPY: figures((10,))})
    assert [one.holds for one in found] == [False, None, False, False]


def test_the_pages_have_their_size() -> None:
    assert {len(page_without(files)) for files in (True, False)} == {PAGE_BYTES}

"""The counters of the visitor's path."""

from __future__ import annotations

from lbcompanion.node.metrics.counters import RECENT, Counters


def test_the_latest_decisions_are_remembered_and_no_more() -> None:
    counters = Counters()
    for number in range(RECENT + 5):
        counters.remember(b"/%d" % number, "", "")
    assert len(counters.recent) == RECENT
    assert counters.recent[-1].shown() == {"path": f"/{RECENT + 4}", "not_captured": "", "not_injected": ""}


def test_a_page_left_alone_is_counted_and_remembered() -> None:
    counters = Counters()
    counters.count_not_injected(b"/\xff", "AMP")
    assert counters.not_injected == {"AMP": 1}
    assert counters.recent[0].shown() == {"path": "/\xff", "not_captured": "", "not_injected": "AMP"}

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from lbcompanion.crawler.admin.dashboard.rendering import duration, number, removed_parts, render, size, static, when
from lbcompanion.crawler.queue.filter_texts import FILTER_NAMES

_NONE = dict.fromkeys(FILTER_NAMES, "")


def test_times_are_machine_readable_and_in_utc() -> None:
    shown = '<time datetime="2026-11-27T04:05:06.700Z" title="2026-11-27 04:05:06 UTC">2026-11-27 04:05:06 UTC</time>'
    assert when("2026-11-27T04:05:06.700Z") == shown
    assert when(None) == ""
    assert "<script>" not in when("<script>")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (12, "12.0 s"),
        (59.97, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_counts() -> None:
    assert (number(1234567), number(None)) == ("1,234,567", "")


def test_texts_are_escaped_and_none_may_be_missing() -> None:
    values = {"here": "", "recordings": [], "ladder": (), "next": "", "previous": "", "searched_to": None, "stream": ""}
    shown = render("recordings.html", **values, filters={**_NONE, "node": '"><b>'})
    assert "&#34;&gt;&lt;b&gt;" in shown
    with pytest.raises(UndefinedError):
        render("recordings.html", **values, filters={})


def test_files() -> None:
    assert b"prefers-color-scheme: dark" in static("dashboard.css")


@pytest.mark.parametrize(
    ("removed", "shown"),
    [
        (None, ""),
        ({"elements": 0, "blocks": 0, "documents": 0}, ""),
        ({"elements": 1, "blocks": 0, "documents": 2}, "1 masked element, 2 embedded documents"),
        ({"elements": 1500, "blocks": 1, "documents": 0}, "1,500 masked elements, 1 excluded block"),
    ],
)
def test_what_a_copy_lacks(removed: dict[str, int] | None, shown: str) -> None:
    assert removed_parts(removed) == shown

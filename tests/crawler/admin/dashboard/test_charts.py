from __future__ import annotations

import pytest

from lbcompanion.crawler.activity import ARCHIVED, LOST, SEEN, Bucket, Counts
from lbcompanion.crawler.admin.activity_api import timeline
from lbcompanion.crawler.admin.dashboard.charts import HEIGHT, WIDTH, Chart, ceiling, delay_chart, pages_chart


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (0.03, 0.05), (1, 1), (3, 5), (11, 20), (999, 1000), (1001, 2000)]
)
def test_the_top_of_an_axis_is_a_round_number(highest: float, top: float) -> None:
    assert ceiling(highest) == pytest.approx(top)


def charts(pages: int) -> list[Chart]:
    counts = {
        Bucket(60, 60, "n1", SEEN): Counts(pages),
        Bucket(60, 60, "n1", ARCHIVED): Counts(pages, pages, 1, pages * 12.0, [0, 0, pages, pages]),
        Bucket(120, 60, "n1", LOST, "expired"): Counts(1),
    }
    found = timeline(counts if pages else {}, 0, 3600, 60)
    return [pages_chart(found), delay_chart(found)]


@pytest.mark.parametrize("pages", [0, 1, 7, 123_456])
def test_all_is_within_the_picture(pages: int) -> None:
    for chart in charts(pages):
        assert all(each.height >= 0 and each.y >= 0 and each.y + each.height <= HEIGHT for each in chart.bars)
        assert all(each.x >= 0 and each.x + each.width <= WIDTH for each in chart.bars)
        assert len({each.text for each in chart.y_ticks}) == len(chart.y_ticks)


def test_the_picture_has_a_summary_in_words() -> None:
    pages, delay = charts(7)
    assert pages.summary == "7 pages seen, 7 archived, 1 lost"
    assert delay.summary == "12.0 s in the mean, 0% within 10 s"
    assert charts(0)[1].summary == "nothing was archived"

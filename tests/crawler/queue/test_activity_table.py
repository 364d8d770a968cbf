from __future__ import annotations

from collections.abc import Iterator

import pytest

from lbcompanion.crawler.activity import ARCHIVED, SEEN, Bucket, Counts
from lbcompanion.crawler.queue.activity_table import HOURS_SECONDS, MINUTES_SECONDS, ActivityTable
from lbcompanion.crawler.queue.database import Database
from tests.support.queue_databases import QUEUE_KINDS, empty_database, queue_url

DAY = 86400


@pytest.fixture(params=QUEUE_KINDS, scope="module", name="url")
def _url(request: pytest.FixtureRequest) -> Iterator[str]:
    with queue_url(request.param) as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with empty_database(url) as made:
        yield made


def test_crawlers_are_summed_and_each_adds_to_its_own_rows(database: Database) -> None:
    one, two = ActivityTable(database, "one"), ActivityTable(database, "two")
    bucket = Bucket(DAY, 60, "n1", ARCHIVED)
    one.add({bucket: Counts(1, 2, 3, 4.5, [0, 0, 1, 1])}, DAY)
    one.add({bucket: Counts(1, 1, 1, 1.0, [1, 1, 1, 1])}, DAY)
    two.add({bucket: Counts(1), Bucket(DAY + 60, 60, "n1", SEEN): Counts(7)}, DAY)
    assert one.read(DAY, DAY + 60, 60) == {bucket: Counts(3, 3, 4, 5.5, [1, 1, 2, 2])}
    assert two.read(0, 2 * DAY, 3600) == {
        Bucket(DAY, 3600, "n1", ARCHIVED): Counts(3, 3, 4, 5.5, [1, 1, 2, 2]),
        Bucket(DAY, 3600, "n1", SEEN): Counts(7),
    }


@pytest.mark.slow
def test_old_minutes_become_hours_and_nothing_is_lost_or_counted_twice(database: Database) -> None:
    table = ActivityTable(database, "one")
    start = 10 * DAY
    for minute in range(0, 180, 7):
        table.add({Bucket(start + minute * 60, 60, "n1", SEEN): Counts(1)}, start)
    pages = len(range(0, 180, 7))
    for now in (start, start + MINUTES_SECONDS + 3600, start + MINUTES_SECONDS + 7200, start + 10 * DAY):
        table.fold(now)
        assert sum(each.pages for each in table.read(start, start + DAY, 3600).values()) == pages
    assert {bucket.at % 3600 for bucket in table.read(start, start + DAY, 60)} == {0}


def test_late_counts_of_a_folded_hour_join_it(database: Database) -> None:
    table = ActivityTable(database, "one")
    now = 20 * DAY
    table.add({Bucket(now - 3 * DAY + 60, 60, "n1", SEEN): Counts(2)}, now)
    assert table.read(0, now, 3600) == {Bucket(now - 3 * DAY, 3600, "n1", SEEN): Counts(2)}


def test_old_hours_are_forgotten(database: Database) -> None:
    table = ActivityTable(database, "one")
    now = HOURS_SECONDS + 20 * DAY
    table.add({Bucket(10 * DAY, 60, "n1", SEEN): Counts(2)}, now)
    table.fold(now)
    assert table.read(0, now, 3600) == {}

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState, WebhookTable
from tests.support.queue_databases import QUEUE_KINDS, empty_database, queue_url


@pytest.fixture(params=QUEUE_KINDS, scope="module", name="url")
def _url(request: pytest.FixtureRequest) -> Iterator[str]:
    with queue_url(request.param) as url:
        yield url


@pytest.fixture(name="database")
def _database(url: str) -> Iterator[Database]:
    with empty_database(url) as database:
        yield database


def test_the_state_of_a_webhook(database: Database) -> None:
    now = [100.0]
    table = WebhookTable(database, lambda _connection: now[0])
    start, later = Position("0a0a0a0a", 5), Position("0a0a0a0a", 9)
    assert table.states(["shop"]) == {}
    table.begin("shop", start)
    table.begin("shop", later)
    assert table.states(["shop", "other"]) == {"shop": WebhookState(start)}
    table.failed("shop", "x" * 300, 3, 20.0)
    now[0] = 105.0
    assert table.states(["shop"]) == {"shop": WebhookState(start, 3, 15.0, "x" * 255)}
    now[0] = 130.0
    assert table.states(["shop"])["shop"].wait_seconds == 0.0
    assert not table.accepted("shop", later, start)
    assert table.skipped("shop", start, Position("0a0a0a0a", 7))
    assert table.states(["shop"])["shop"].failures == 3
    assert table.accepted("shop", Position("0a0a0a0a", 7), later)
    assert table.states(["shop"]) == {"shop": WebhookState(later, succeeded_at=130.0)}


def test_the_databases_clock_is_the_default(database: Database) -> None:
    table = WebhookTable(database)
    table.begin("shop", Position("0a0a0a0a", 5))
    table.failed("shop", "status 500", 1, 3600.0)
    assert 3500 < table.states(["shop"])["shop"].wait_seconds <= 3600

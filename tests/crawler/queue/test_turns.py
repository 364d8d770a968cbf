from __future__ import annotations

from sqlalchemy import update

from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.schema import TURNS
from lbcompanion.crawler.queue.turns import Turns


def test_one_crawler_at_a_time_has_a_turn() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    first, second = Turns(database, "a/1"), Turns(database, "b/1")
    assert first.take("minting main", 60.0)
    assert first.take("minting main", 60.0)
    assert not second.take("minting main", 60.0)
    assert second.take("minting other", 60.0)
    second.end("minting main")
    assert not second.take("minting main", 60.0)
    first.end("minting main")
    assert second.take("minting main", 60.0)
    for held_until in (1.0, 1e12):  # it ended long ago, or the database's clock was set back
        with database.change() as connection:
            connection.execute(update(TURNS).values(holder="b/1", held_until=held_until))
        assert first.take("minting main", 60.0)
    database.close()


def test_a_crawler_that_stops_ends_all_its_turns() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    first, second = Turns(database, "a/1"), Turns(database, "b/1")
    assert first.take("minting main", 60.0)
    assert first.take("webhook shop", 60.0)
    assert second.take("minting other", 60.0)
    first.pause("main", 60.0)
    first.end_all()
    assert second.take("minting main", 60.0)
    assert second.take("webhook shop", 60.0)
    assert not first.take("minting other", 60.0)
    assert list(first.pauses()) == ["main"]
    database.close()


def test_a_pause_ends_with_the_longest_that_was_asked_for() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    first, second = Turns(database, "a/1"), Turns(database, "b/1")
    first.take("minting main", 60.0)
    assert first.pauses() == {}
    for turns, site, seconds in (
        (first, "main", 20.0),
        (second, "main", 60.0),
        (first, "main", 5.0),
        (first, "b", 0.0),
    ):
        turns.pause(site, seconds)
    (left,) = second.pauses().values()
    assert list(first.pauses()) == ["main"]
    assert 20 < left <= 60
    database.close()

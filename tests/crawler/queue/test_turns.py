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
            connection.execute(update(TURNS).values(held_until=held_until))
        assert first.take("minting main", 60.0)
    database.close()

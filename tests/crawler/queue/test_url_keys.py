from __future__ import annotations

from sqlalchemy import insert, select, update

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.url_keys import url_key
from tests.support.arrivals import arrival

URLS = ("https://shop/cart#top", "https://shop/cart", f"https://shop/{'x' * 300}#y", "#", "https://shop/größe#?")


def test_a_row_without_a_key_gets_it_with_the_next_start() -> None:
    """A crawler of an earlier version adds such rows."""
    database = Database(open_engine("sqlite://"))
    database.open()
    Backlog(database).add([arrival("t")], 1.0)
    with database.change() as connection:
        row = dict(connection.execute(select(RECORDINGS)).one()._mapping)
        for number, url in enumerate(URLS):
            has_own = bool(number % 2)
            urls = {"url": "https://other/" if has_own else url, "page_url": url if has_own else ""}
            connection.execute(insert(RECORDINGS).values({**row, **urls, "id": number + 9, "token": str(number)}))
        connection.execute(update(RECORDINGS).values(url_key=None))
        connection.execute(update(RECORDINGS).where(RECORDINGS.c.token == "t").values(erasure=1))
    database.open()
    with database.read() as connection:
        keys = connection.execute(select(RECORDINGS.c.url_key).order_by(RECORDINGS.c.id)).scalars().all()
    assert keys == [None, *map(url_key, URLS)]
    assert keys[3] == f"https://shop/{'x' * 187}"
    database.close()

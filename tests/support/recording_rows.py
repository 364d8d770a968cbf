"""Rows of the table of recordings, as the search reads them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.url_keys import url_key

Row = dict[str, Any]


def opened(url: str = "sqlite://") -> Database:
    database = Database(open_engine(url))
    database.open()
    return database


def row_of(number: int, values: Row) -> Row:
    address = values.pop("address", "https://shop/")
    is_reported = number % 2 == 0
    return {
        **dict.fromkeys(("site", "route", "reason", "answered_by", "sha256", "content_type", "warc_file"), ""),
        **{"id": number, "token": f"t{number}", "origin_node": "n1", "cookies": "{}", "told_by": "browser"},
        **dict.fromkeys(("viewed_at", "noticed_at", "received_at", "next_at"), 1.0),
        **{"rounds": 0, "attempts": "[]", "url_key": url_key(address), "erasure": None},
        **{"url": address if is_reported else "https://old/", "page_url": "" if is_reported else address},
        **values,
        "title_key": (values.get("title") or "").casefold() or None,
        "reason": "expired" if values.get("outcome") == "lost" else "",
    }


def add(database: Database, rows: list[Row]) -> None:
    with database.change() as connection:
        connection.execute(insert(RECORDINGS), rows)


class Steps:
    """A clock on which each look takes a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now

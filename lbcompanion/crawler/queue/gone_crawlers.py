"""The archive files of crawlers that used a shared queue and did not come back.

Another crawler with the same object store takes over the uploaded files, so that erasures reach them, and those that
are still to be removed from the store. The crawler that is gone may have copies of these files on its disk, which it
removes if it comes back. All other files on its disk can only be reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from lbcompanion.crawler.queue.archive_index import FileState
from lbcompanion.crawler.queue.database import Database, database_clock, insert_new
from lbcompanion.crawler.queue.schema import CRAWLERS, DOOMED_FILES, FILES, LEFT_COPIES


@frozen
class GoneCrawler:
    """A crawler that has not been seen for a while, and has archive files on its disk.

    :ivar files: how many.
    :ivar doomed: how many more files it had to remove from its disk.
    """

    name: str
    host: str
    files: int
    doomed: int = 0


class GoneCrawlers:
    """The other crawlers of a queue that are gone.

    :param name: of this crawler.
    :param store_url: the object store of this crawler; empty if it has no object store.
    """

    def __init__(self, database: Database, name: str, store_url: str = "") -> None:
        self._database = database
        self._name = name
        self._store_url = store_url

    def look(self, seconds: float) -> list[GoneCrawler]:
        """Take over uploaded files, and return the crawlers that have others; blocking.

        :param seconds: how long a crawler has not been seen.
        """
        with self._database.change() as connection:
            before = database_clock(connection) - seconds
            gone = CRAWLERS.c.name != self._name, CRAWLERS.c.seen_at < before
            names = list(connection.execute(select(CRAWLERS.c.name).where(*gone)).scalars())
            if names and self._store_url:
                uploaded = FILES.c.state == FileState.UPLOADED, FILES.c.place == self._store_url
                self._take_over(connection, FILES, FILES.c.crawler.in_(names), *uploaded)
                in_store = DOOMED_FILES.c.place == self._store_url
                self._take_over(connection, DOOMED_FILES, DOOMED_FILES.c.crawler.in_(names), in_store)
            return _with_files(connection, names) if names else []

    def _take_over(self, connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> None:
        rows = connection.execute(select(table.c.name, table.c.crawler).where(*conditions).with_for_update()).all()
        left = [{"name": row.name, "crawler": row.crawler} for row in rows]
        insert_new(connection, LEFT_COPIES, left)
        for each in left:
            row = table.c.name == each["name"], table.c.crawler == each["crawler"]
            connection.execute(update(table).where(*row).values(crawler=self._name))


def _with_files(connection: Connection, names: Sequence[str]) -> list[GoneCrawler]:
    on_disk = FILES.c.state != FileState.UPLOADED, FILES.c.committed > 0
    files = _count(connection, FILES.c.crawler, FILES.c.crawler.in_(names), *on_disk)
    doomed = _count(connection, DOOMED_FILES.c.crawler, DOOMED_FILES.c.crawler.in_(names))
    query = select(CRAWLERS.c.name, CRAWLERS.c.host).where(CRAWLERS.c.name.in_({*files, *doomed}))
    rows = connection.execute(query.order_by(CRAWLERS.c.name)).all()
    return [GoneCrawler(row.name, row.host, files.get(row.name, 0), doomed.get(row.name, 0)) for row in rows]


def _count(connection: Connection, crawler: Any, *conditions: ColumnElement[bool]) -> dict[str, int]:
    rows = connection.execute(select(crawler, func.count()).where(*conditions).group_by(crawler)).all()
    return {row[0]: row[1] for row in rows}

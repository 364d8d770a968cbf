"""The archive files of crawlers that used a shared queue and did not come back.

Another crawler with the same object store takes over the uploaded files, so that erasures reach them. Files on the disk
of a crawler that is gone can only be reported.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import func, select, update

from lbcompanion.crawler.queue.archive_index import FileState
from lbcompanion.crawler.queue.database import Database, database_clock
from lbcompanion.crawler.queue.schema import CRAWLERS, FILES


@frozen
class GoneCrawler:
    """A crawler that has not been seen for a while, and has archive files on its disk.

    :ivar files: how many.
    """

    name: str
    host: str
    files: int


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
                taken = update(FILES).where(FILES.c.crawler.in_(names), *uploaded)
                connection.execute(taken.values(crawler=self._name))
            on_disk = FILES.c.crawler.in_(names), FILES.c.state != FileState.UPLOADED, FILES.c.committed > 0
            query = (
                select(CRAWLERS.c.name, CRAWLERS.c.host, func.count())
                .join(FILES, FILES.c.crawler == CRAWLERS.c.name)
                .where(*on_disk)
                .group_by(CRAWLERS.c.name, CRAWLERS.c.host)
                .order_by(CRAWLERS.c.name)
            )
            return [GoneCrawler(*row) for row in connection.execute(query).all()] if names else []

"""The database of a queue for tests: in memory, and at the database servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.schema import METADATA

_AT_SERVER = (pytest.mark.programs, pytest.mark.slow)
#: Parameters of a fixture that calls :func:`queue_url`.
QUEUE_KINDS = (
    pytest.param("", id="sqlite"),
    pytest.param("Postgresql", id="postgresql", marks=_AT_SERVER),
    pytest.param("Mariadb", id="mariadb", marks=_AT_SERVER),
)


@contextmanager
def queue_url(kind: str) -> Iterator[str]:
    """The URL of a queue at a server of this kind, which runs meanwhile; empty: in memory."""
    if not kind:
        yield "sqlite://"
        return
    # Its drivers are extras.
    from tests.support import store_servers

    with store_servers.of_its_own(getattr(store_servers, kind)) as server:
        yield server.url


@contextmanager
def empty_database(url: str) -> Iterator[Database]:
    """The queue's database without a row, open."""
    database = Database(open_engine(url))
    database.open()
    try:
        with database.change() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())
        yield database
    finally:
        database.close()

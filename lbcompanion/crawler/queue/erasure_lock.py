"""Lets no erasure happen between the check that a notice is not erased and the insertion of the notice.

Intakes of several crawlers store notices at the same time; an erasure waits for them, and later ones wait for it. The
lock ends with the transaction. A queue that serves one crawler needs none: one thread does both.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import insert_new
from lbcompanion.crawler.queue.schema import TURNS

#: The row of ``turns`` that MariaDB and MySQL lock. PostgreSQL has locks without rows, for which it writes nothing.
_ROW = "storing notices"
_KEY = int.from_bytes(blake2b(b"lbcompanion storing notices", digest_size=8).digest(), "big", signed=True)


def lock_for_notices(connection: Connection) -> None:
    """Keep erasures out until the transaction ends."""
    _lock(connection, is_shared=True)


def lock_for_erasure(connection: Connection) -> None:
    """Keep intakes out until the transaction ends."""
    _lock(connection, is_shared=False)


def _lock(connection: Connection, *, is_shared: bool) -> None:
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if is_shared else func.pg_advisory_xact_lock
        connection.execute(select(lock(_KEY)))
    elif connection.dialect.name != "sqlite":
        row = select(TURNS.c.name).where(TURNS.c.name == _ROW)
        # The first crawler of a queue creates the row; a locking read of a missing row would lock a gap.
        if connection.execute(row.with_for_update(read=is_shared)).first() is None:
            insert_new(connection, TURNS, [{"name": _ROW}])
            connection.execute(row.with_for_update(read=is_shared))

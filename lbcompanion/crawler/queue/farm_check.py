"""A shared queue belongs to one farm: a crawler with the secret of another farm is refused.

It could fetch no copy of that farm's pages, and would end its notices as lost.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from hashlib import sha256

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import FARMS
from lbcompanion.errors import CompanionError
from lbcompanion.protocol.secrets import accepted_secrets

#: The only row.
_ROW = 1


class QueueOfAnotherFarm(CompanionError):
    """The queue is used with another secret."""


def check_farm(database: Database, secret: bytes) -> None:
    """Note the farm's secret at the queue, as a keyed hash, or compare it with the one that is noted there.

    :param secret: with the accepted secrets. One of these may be the noted one while the secret is being replaced.
    :raises QueueOfAnotherFarm: if the noted secret is another one.
    :raises BacklogError: if the database fails.
    """
    marks = [_mark(each) for each in accepted_secrets(secret)]
    query = select(FARMS.c.secret).where(FARMS.c.id == _ROW)
    with database.change() as connection:
        noted = connection.execute(query).scalar()
        if noted is None:
            with suppress(IntegrityError), connection.begin_nested():  # of two at the same moment, one notes its secret
                connection.execute(insert(FARMS).values(id=_ROW, secret=marks[0]))
            noted = connection.execute(query.with_for_update()).scalar_one()
        if noted not in marks:
            raise QueueOfAnotherFarm(
                "the queue belongs to a farm with another secret; give each farm a database of its own, or, if this "
                "farm's secret was replaced, name the former one in [crawler] accept_secret_files"
            )
        if noted != marks[0]:
            connection.execute(update(FARMS).where(FARMS.c.id == _ROW).values(secret=marks[0]))


def _mark(secret: bytes) -> str:
    return hmac.digest(secret, b"lbcompanion: the farm of a queue", sha256).hex()

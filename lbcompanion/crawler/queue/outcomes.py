"""The outcomes of recordings in one order, for streams and webhooks.

The transaction that gives a recording its outcome adds a row without a number. Numbers are given later, in a
transaction that holds a lock: so a number that is visible is never followed by the appearance of a lower one, although
several crawlers write at once. A reader that remembers one number misses nothing and reads nothing twice.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import Database, insert_new
from lbcompanion.crawler.queue.filters import Filters, conditions
from lbcompanion.crawler.queue.schema import OUTCOME_NUMBERS, OUTCOMES, RECORDINGS
from lbcompanion.errors import CompanionError

#: How many outcomes get a number in one transaction.
MOST_NUMBERED = 1000
#: How many outcomes one call of :meth:`Outcomes.read` looks at.
_MOST_READ = 500
_POSITION = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})", re.ASCII)

# Made once: to make a statement takes SQLAlchemy longer than to run it.
_NOTE = insert(OUTCOMES).inline()  # nobody asks for the id
_NUMBER = update(OUTCOMES).where(OUTCOMES.c.id == bindparam("the_id")).values(number=bindparam("the_number"))


class BadPosition(CompanionError):
    """A text is no position."""


@frozen
class Position:
    """A place in the order of the outcomes: after the outcome of this number.

    :ivar queue: the name of the queue that gave the number.
    """

    queue: str
    number: int

    @classmethod
    def read(cls, text: str) -> Position:
        """Read the text of a position.

        :raises BadPosition: if it is no such text.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise BadPosition("has to be the id of an earlier event, such as 1f0c2a9b-1042")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        """Return its text."""
        return f"{self.queue}-{self.number}"


@frozen
class Extent:
    """The numbers that are there.

    :ivar queue: the name of the queue.
    :ivar deleted: the last number whose outcome was deleted, or 0.
    :ivar last: the last number that was given, or 0.
    """

    queue: str
    deleted: int
    last: int

    @property
    def end(self) -> Position:
        """The position after the last outcome."""
        return Position(self.queue, self.last)

    @property
    def beginning(self) -> Position:
        """The position before the first outcome that is kept."""
        return Position(self.queue, self.deleted)

    def has(self, position: Position) -> bool:
        """Whether all outcomes after a position are kept."""
        return position.queue == self.queue and self.deleted <= position.number <= self.last


@frozen
class Followed:
    """A part of the outcomes after a position.

    :ivar rows: number and row of each recording that fulfils the filters.
    :ivar position: up to where the outcomes were read.
    :ivar missed: whether outcomes after the position were deleted before they were read.
    """

    rows: tuple[tuple[int, Any], ...]
    position: Position
    missed: bool = False


def note_outcome(connection: Connection, token: str, now: float) -> None:
    """Note that a recording has its outcome, in the transaction that gives it."""
    connection.execute(_NOTE, {"token": token, "at": now})


def forget_outcomes(connection: Connection, tokens: Sequence[str]) -> None:
    """Delete the outcomes of erased recordings, within the transaction that erases these. Their numbers stay unused."""
    if not tokens:
        return
    # Numbering changes the same rows in another order. It waits for this lock only, and holds no row of a recording, so
    # that an erasure, which holds such rows, and a numbering never wait for each other.
    _lock(connection)
    for start in range(0, len(tokens), _MOST_READ):
        connection.execute(delete(OUTCOMES).where(OUTCOMES.c.token.in_(tokens[start : start + _MOST_READ])))


class Outcomes:
    """The outcomes that all crawlers of a queue noted. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def number(self) -> Extent:
        """Give numbers to outcomes that have none yet, and return the numbers that are there.

        If more than :data:`MOST_NUMBERED` outcomes wait for a number, the next call continues.

        :raises BacklogError: if the database fails.
        """
        with self._database.read() as connection:
            known = _extent(connection)
            waiting = connection.execute(select(OUTCOMES.c.id).where(OUTCOMES.c.number.is_(None)).limit(1)).first()
        if known is not None and waiting is None:
            return known
        with self._database.change() as connection:
            return _give_numbers(connection, _lock(connection))

    def read(self, after: Position, filters: Filters, limit: int) -> Followed:
        """Return outcomes after a position, in their order.

        Recordings that were erased since are left out. If there are many outcomes that do not fulfil the filters, some
        calls return no rows but a further position.

        :param limit: the most rows.
        :raises BacklogError: if the database fails.
        """
        with self._database.read() as connection:
            extent = _extent(connection) or Extent(after.queue, 0, after.number)
            if not extent.has(after):
                return Followed((), extent.beginning, missed=True)
            until = min(extent.last, after.number + _MOST_READ)
            query = (
                select(OUTCOMES.c.number.label("outcome_number"), RECORDINGS)
                .join(RECORDINGS, RECORDINGS.c.token == OUTCOMES.c.token)
                .where(OUTCOMES.c.number > after.number, OUTCOMES.c.number <= until)
                .where(*conditions(filters, connection.dialect.name))
                .order_by(OUTCOMES.c.number)
                .limit(limit)
            )
            rows = connection.execute(query).all()
            # Some may have been deleted while they were read.
            now = _extent(connection) or extent
        if not now.has(after):
            return Followed((), now.beginning, missed=True)
        reached = rows[-1].outcome_number if len(rows) == limit else until
        found = tuple((int(row.outcome_number), row._mapping) for row in rows)
        return Followed(found, Position(extent.queue, int(reached)))

    def trim(self, now: float, keep_seconds: float, keep_count: int) -> int:
        """Delete outcomes that are too old, and the oldest ones above a count; return how many.

        :raises BacklogError: if the database fails.
        """
        with self._database.change() as connection:
            extent = _lock(connection)
            while (numbered := _give_numbers(connection, extent)).last > extent.last:
                extent = numbered
            # Numbers whose outcomes were erased are neither young nor old: a reader misses nothing by them.
            is_old = OUTCOMES.c.at < now - keep_seconds
            young = connection.execute(select(func.min(OUTCOMES.c.number)).where(~is_old)).scalar()
            old = connection.execute(select(func.max(OUTCOMES.c.number)).where(is_old)).scalar() or 0
            bound = max(int(old) if young is None else min(int(old), int(young) - 1), extent.last - keep_count)
            if bound <= extent.deleted:
                return 0
            connection.execute(update(OUTCOME_NUMBERS).values(deleted=bound))
            return connection.execute(delete(OUTCOMES).where(OUTCOMES.c.number <= bound)).rowcount


def _extent(connection: Connection) -> Extent | None:
    row = connection.execute(select(OUTCOME_NUMBERS)).first()
    return None if row is None else Extent(row.queue, int(row.deleted), int(row.last))


def _lock(connection: Connection) -> Extent:
    """Lock the numbers until the transaction ends, and return them. Each kind of database locks a row it changes."""
    locking = update(OUTCOME_NUMBERS).values(last=OUTCOME_NUMBERS.c.last)
    if connection.execute(locking).rowcount == 0:
        first = {"id": 1, "queue": secrets.token_hex(4), "last": 0, "deleted": 0}
        insert_new(connection, OUTCOME_NUMBERS, [first])
        connection.execute(locking)
    found = _extent(connection)
    assert found is not None
    return found


def _give_numbers(connection: Connection, extent: Extent) -> Extent:
    """Number some outcomes that have no number, within a transaction that holds the lock."""
    waiting = select(OUTCOMES.c.id).where(OUTCOMES.c.number.is_(None)).order_by(OUTCOMES.c.id).limit(MOST_NUMBERED)
    ids = connection.execute(waiting).scalars().all()
    if not ids:
        return extent
    given = [{"the_id": each, "the_number": extent.last + place} for place, each in enumerate(ids, 1)]
    connection.execute(_NUMBER, given)
    last = extent.last + len(ids)
    connection.execute(update(OUTCOME_NUMBERS).values(last=last))
    return Extent(extent.queue, extent.deleted, last)
